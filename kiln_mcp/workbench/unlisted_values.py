"""Arguments with many valid values, which their schema does not list."""

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, JsonValue
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, slots=True)
class OneOf:
    """Annotates an argument: one of some values, which its schema does not list.

    A list in each schema would cost every conversation; an error names the values.

    Attributes:
        values: The valid values; the members of an enum become values of its type.
    """

    values: tuple[str, ...]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the schema that validates a value."""
        names = core_schema.literal_schema(list(map(str, self.values)))
        if not isinstance(source, type):
            return names
        del handler
        return core_schema.no_info_after_validator_function(source, names)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, JsonValue]:
        """Return the schema that a model reads."""
        del schema, handler
        return {"type": "string"}
