"""JSON Schemas of a task's input and output."""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from kiln_mcp.projects.errors import NotAnObjectSchema
from storage.json_schema import check_schema


def schema_text(which: str, schema: Mapping[str, JsonValue] | None) -> str | None:
    """Return a schema as the text that a task keeps; None for plain text.

    Args:
        which: "input" or "output", for the error.
        schema: A JSON Schema of draft 2020-12.

    Raises:
        NotAnObjectSchema: It is no JSON Schema of an object with properties.
    """
    if schema is None:
        return None
    try:
        check_schema(schema)
    except ValueError as error:
        raise NotAnObjectSchema(which, str(error)) from error
    if schema.get("type") != "object" or not isinstance(schema.get("properties"), dict):
        raise NotAnObjectSchema(which, "it does not describe an object with properties")
    return json.dumps(schema, ensure_ascii=False)
