"""Whether a JSON value fits a JSON Schema (draft 2020-12). Nothing is fetched for a `$ref`."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from pydantic import JsonValue

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

_LONGEST_MESSAGE: Final = 300


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
    message = error.message
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[: _LONGEST_MESSAGE - 1]}…"
    return f"{message} (at {place or 'the top'})"


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
        raise ValueError(f"the schema is not valid: {error.message}") from error
    return Draft202012Validator(schema, registry=Registry())
