"""Bounds for answers of a small model, which under a grammar does not end a string by itself.

A schema's own bounds stay as they are. Without one, a list has at most 24 items, and the strings
share the tokens that the answer has: each gets between 40 and 300 characters. The worst string
takes a token for each character, so answers of a few strings end before they are cut off. Numbers
need no bound: llama.cpp's grammar gives them 16 digits.
"""

from collections.abc import Iterator
from typing import Any, Final, cast

from pydantic import JsonValue

from kiln_mcp.llm.messages import JsonSchema, ModelRequest

LONGEST_STRING: Final = 300
SHORTEST_BOUND: Final = 40
LONGEST_ARRAY: Final = 24
ITEMS_RECKONED: Final = 4
"""A string of a list counts as so many strings: few lists are full."""
KEY_TOKENS: Final = 8
"""Quotes, colon, comma and whitespace of a member and its value."""
CHARACTERS_A_TOKEN: Final = 3
"""Of ordinary text, reckoned carefully."""
_BOUNDED_STRING_KEYS: Final = frozenset({"maxLength", "enum", "const", "pattern"})
_BOUNDED_FORMATS: Final = frozenset({"date", "time", "date-time", "uuid"})
_SCHEMA_MAPS: Final = frozenset({"properties", "$defs", "definitions"})
_SCHEMA_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SCHEMAS: Final = frozenset({"items", "additionalProperties"})


def answer_tokens(request: ModelRequest, context_tokens: int) -> int:
    """Return how many tokens an answer may have, by its own limit and by the context's rest."""
    characters = sum(len(message.content) for message in request.messages)
    return min(request.max_tokens, max(0, context_tokens - characters // CHARACTERS_A_TOKEN))


def bound_answer(schema: JsonSchema, tokens: int) -> dict[str, JsonValue]:
    """Return the schema with a bound for every string and list that has none.

    Args:
        schema: The schema of the answer.
        tokens: How many tokens the answer may have.
    """
    strings = sum(_string_weights(schema))
    rest = tokens - sum(_key_tokens(schema))
    share = rest // strings if strings else LONGEST_STRING
    return _bound(schema, min(LONGEST_STRING, max(SHORTEST_BOUND, share)))


def _kinds(schema: JsonSchema) -> tuple[object, ...]:
    kind = schema.get("type")
    return tuple(cast("list[object]", kind)) if isinstance(kind, list) else (kind,)


def _needs_bound(schema: JsonSchema) -> bool:
    """Return whether a string of this schema can be of any length."""
    has_bound = bool(_BOUNDED_STRING_KEYS & schema.keys())
    return "string" in _kinds(schema) and not (
        has_bound or schema.get("format") in _BOUNDED_FORMATS
    )


def _bound(schema: JsonSchema, longest: int) -> dict[str, JsonValue]:
    result: dict[str, Any] = dict(schema)
    if _needs_bound(schema):
        result["maxLength"] = max(longest, int(schema.get("minLength") or 0))
    kinds = _kinds(schema)
    if "array" in kinds and "maxItems" not in schema:
        result["maxItems"] = max(LONGEST_ARRAY, int(schema.get("minItems") or 0))
    if "object" in kinds and "additionalProperties" not in schema:
        result["additionalProperties"] = False
    return {key: _bound_value(key, value, longest) for key, value in result.items()}


def _bound_value(key: str, value: JsonValue, longest: int) -> JsonValue:
    if key in _SCHEMA_MAPS and isinstance(value, dict):
        return {name: _bound_part(part, longest) for name, part in value.items()}
    if key in _SCHEMAS:
        return _bound_part(value, longest)
    if key in _SCHEMA_LISTS and isinstance(value, list):
        return [_bound_part(part, longest) for part in value]
    return value


def _bound_part(value: JsonValue, longest: int) -> JsonValue:
    return _bound(value, longest) if isinstance(value, dict) else value


def _parts(schema: JsonSchema) -> Iterator[tuple[str, JsonSchema]]:
    """Yield the schemas in a schema, each with the word under which it stands."""
    for key, value in schema.items():
        candidates: list[object] = []
        if key in _SCHEMA_MAPS and isinstance(value, dict):
            candidates = list(cast("dict[str, object]", value).values())
        elif key in _SCHEMA_LISTS and isinstance(value, list):
            candidates = cast("list[object]", value)
        elif key in _SCHEMAS:
            candidates = [value]
        yield from (
            (key, cast("JsonSchema", part)) for part in candidates if isinstance(part, dict)
        )


def _string_weights(schema: JsonSchema, weight: int = 1) -> Iterator[int]:
    if _needs_bound(schema):
        yield weight
    for key, part in _parts(schema):
        items = min(ITEMS_RECKONED, int(schema.get("maxItems") or ITEMS_RECKONED))
        yield from _string_weights(part, weight * items if key == "items" else weight)


def _key_tokens(schema: JsonSchema) -> Iterator[int]:
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name in cast("dict[str, object]", properties):
            yield KEY_TOKENS + len(name) // CHARACTERS_A_TOKEN
    for _, part in _parts(schema):
        yield from _key_tokens(part)
