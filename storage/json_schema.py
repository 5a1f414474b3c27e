"""Whether a JSON value fits a JSON Schema (draft 2020-12). Nothing is fetched for a `$ref`."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from storage.excerpts import excerpt

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError


def problem_with(value: JsonValue, schema: Mapping[str, JsonValue]) -> str | None:
    """Return what keeps a value from fitting a schema, or None when it fits.

    Raises:
        ValueError: The schema itself is not valid, or refers to one that lies elsewhere.
    """
    from jsonschema.exceptions import relevance
    from referencing.exceptions import Unresolvable

    validator = _validator(json.dumps(schema, sort_keys=True))
    # jsonschema's stubs lose the error's type behind an overload.
    errors = cast("Iterable[ValidationError]", validator.iter_errors(value))  # pyright: ignore[reportUnknownMemberType]
    try:
        error = max(errors, key=relevance, default=None)
    except Unresolvable as unknown:
        raise ValueError(f"the schema refers to what is not in it: {unknown}") from unknown
    if error is None:
        return None
    place = "".join(f"[{part!r}]" for part in error.absolute_path)
    return f"{excerpt(error.message)} (at {excerpt(place) or 'the top'})"


def check_schema(schema: Mapping[str, JsonValue]) -> None:
    """Refuse what is no JSON Schema.

    Raises:
        ValueError: It is none.
    """
    _validator(json.dumps(schema, sort_keys=True))


@lru_cache(maxsize=128)
def _validator(schema_text: str) -> "Draft202012Validator":
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    schema = json.loads(schema_text)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"the schema is not valid: {excerpt(error.message)}") from error
    return Draft202012Validator(schema, registry=Registry())
