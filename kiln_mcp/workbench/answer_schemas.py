"""JSON Schema of the answers of a capability, as `plain` writes them."""

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, JsonValue

from kiln_mcp.workbench.answer_size import SHORTENED
from storage.text.schema_references import inline_references

_DROPPED_KEYS: Final = frozenset({"$defs", "title", "required", "default"})
"""An answer leaves out what is null or empty, and may say more than its model."""
_OF_THE_DOOR: Final[dict[str, JsonValue]] = {
    SHORTENED: {
        "type": "array",
        "items": {"type": "string"},
        "description": "What was left out to keep the answer short.",
    }
}
"""Fields that the door adds to any answer."""


def answer_schema(kinds: Sequence[type[BaseModel]]) -> dict[str, JsonValue]:
    """Return the schema of an answer that is of one of some kinds."""
    schemas: list[JsonValue] = [_open_schema(kind) for kind in kinds]
    first = schemas[0]
    if len(schemas) == 1 and isinstance(first, dict) and first.get("type") == "object":
        own = first.get("properties")
        return {**first, "properties": {**(own if isinstance(own, dict) else {}), **_OF_THE_DOOR}}
    return {"type": "object", "properties": _OF_THE_DOOR, "anyOf": schemas}


def _open_schema(kind: type[BaseModel]) -> dict[str, JsonValue]:
    schema = inline_references(kind.model_json_schema(mode="serialization"))
    result = _without_bounds(schema)
    return result if isinstance(result, dict) else {}


def _without_bounds(node: JsonValue, *, names: bool = False) -> JsonValue:
    if isinstance(node, list):
        return [_without_bounds(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_bounds(value, names=key == "properties" and not names)
        for key, value in node.items()
        if names or not _is_bound(key, value)
    }


def _is_bound(key: str, value: JsonValue) -> bool:
    return key in _DROPPED_KEYS or (key == "additionalProperties" and isinstance(value, bool))
