"""JSON Schemas of a task's input and output."""

import json
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from storage.errors import Refusal
from storage.text.json_schema import check_schema

_DEFINITIONS: Final = "#/$defs/"


async def schema_text(which: str, schema: Mapping[str, JsonValue] | None) -> str | None:
    """Return a schema as the text that a task keeps; None for plain text.

    Args:
        which: "input" or "output", for the error.
        schema: A JSON Schema of draft 2020-12.

    Raises:
        Refusal: It is no JSON Schema of an object with properties.
    """
    if schema is None:
        return None
    try:
        await check_schema(schema)
    except ValueError as error:
        raise _unusable(which, str(error)) from error
    description = _with_root(schema)
    if description.get("type") != "object" or not isinstance(description.get("properties"), dict):
        raise _unusable(which, "it does not describe an object with properties")
    return json.dumps(description, ensure_ascii=False)


def _unusable(which: str, reason: str) -> Refusal:
    return Refusal(
        "The {which} schema cannot be used: {reason}. Give a JSON Schema of type object with "
        "properties, or leave it out for plain text.",
        which=which,
        reason=reason,
    )


def _with_root(schema: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Return a schema whose root says what it describes, where it was a `$ref` to a definition.

    The format wants `type` and `properties` at the root, and some writers of schemas, such as
    pydantic for a class that recurs, put a `$ref` there.
    """
    reference = schema.get("$ref")
    while isinstance(reference, str) and reference.startswith(_DEFINITIONS):
        definitions = schema.get("$defs")
        name = reference.removeprefix(_DEFINITIONS)
        target = definitions.get(name) if isinstance(definitions, dict) else None
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        if not isinstance(target, dict) or rest.keys() & target.keys():
            break
        schema = {**target, **rest}
        reference = schema.get("$ref")
    return schema
