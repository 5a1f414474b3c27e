"""JSON Schemas of a task's input and output."""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from storage.errors import Refusal
from storage.text.json_schema import check_schema
from storage.text.schema_references import inline_root


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
    description = inline_root(schema)
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
