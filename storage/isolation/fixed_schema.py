"""A JSON Schema that never changes, and so is spelled once."""

import json
from collections.abc import Mapping
from functools import cached_property

from pydantic import JsonValue


class FixedSchema(dict[str, JsonValue]):
    """A schema of which many equal requests are made. Nobody changes it, nor what it holds."""

    @cached_property
    def sorted_text(self) -> str:
        """Its JSON with sorted keys."""
        return json.dumps(self, sort_keys=True)

    @cached_property
    def compact_text(self) -> str:
        """Its JSON with sorted keys and no spaces."""
        return _compact(self)

    @cached_property
    def text(self) -> str:
        """Its JSON in the order of its keys, nothing escaped."""
        return json.dumps(self, ensure_ascii=False)


def _compact(schema: Mapping[str, JsonValue]) -> str:
    return json.dumps(schema, sort_keys=True, separators=(",", ":"))


def compact_text(schema: Mapping[str, JsonValue]) -> str:
    """Return a schema's JSON with sorted keys and no spaces.

    Raises:
        RecursionError: It is nested too deeply.
    """
    return schema.compact_text if isinstance(schema, FixedSchema) else _compact(schema)


def sorted_text(schema: Mapping[str, JsonValue]) -> str:
    """Return a schema's JSON with sorted keys.

    Raises:
        RecursionError: It is nested too deeply.
    """
    return (
        schema.sorted_text
        if isinstance(schema, FixedSchema)
        else json.dumps(schema, sort_keys=True)
    )


def ordered_text(schema: Mapping[str, JsonValue]) -> str:
    """Return a schema's JSON in the order of its keys, nothing escaped.

    Raises:
        RecursionError: It is nested too deeply.
    """
    if isinstance(schema, FixedSchema):
        return schema.text
    return json.dumps(schema, ensure_ascii=False)
