"""Quick acceptance of values by flat schemas: an object of texts, numbers and choices.

jsonschema takes a tenth of a millisecond for the answer of a judge. That is most of what a check
needs to say that all is well. What is not accepted here is checked by it, and it words the problem.
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, cast

Accepts = Callable[[object], bool]

_NOTES: Final = frozenset({"title", "description", "examples", "default"})
"""Keywords that no value has to fit."""
_OF_OBJECT: Final = frozenset({"type", "properties", "required", "additionalProperties"})
_OF_MEMBER: Final = frozenset({"type", "enum", "minLength", "maxLength", "minimum", "maximum"})
_IS_KIND: Final[Mapping[str, Accepts]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


@lru_cache(maxsize=128)
def flat_check(schema_text: str) -> Accepts | None:
    """Return a function that is true for values that fit a schema; None if it is not flat.

    It may be false for values that fit: 1.0 is an integer for JSON Schema.

    Args:
        schema_text: The schema, as JSON.
    """
    schema = _object(json.loads(schema_text))
    if schema is None or schema.keys() - _NOTES - _OF_OBJECT or schema.get("type") != "object":
        return None
    properties, required = _object(schema.get("properties", {})), schema.get("required", [])
    if properties is None or not isinstance(required, list):
        return None
    members = {key: _member_check(member) for key, member in properties.items()}
    checks = {key: check for key, check in members.items() if check is not None}
    is_closed = schema.get("additionalProperties") is False
    if len(checks) < len(members) or not is_closed:
        return None
    names = _strings(cast("list[object]", required))

    def accepts(value: object) -> bool:
        data = _object(value)
        return (
            data is not None
            and names <= data.keys()
            and all(key in checks and checks[key](member) for key, member in data.items())
        )

    return accepts


def _object(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _member_check(member: object) -> Accepts | None:
    """Return the check of one member; None if it uses more than a few plain keywords."""
    schema = _object(member)
    if schema is None or schema.keys() - _NOTES - _OF_MEMBER or "type" not in schema:
        return None
    kinds, choices = _strings(schema["type"]), schema.get("enum")
    bounds = [
        schema.get(name, limit)
        for name, limit in (
            *(("minLength", 0), ("maxLength", float("inf"))),
            *(("minimum", float("-inf")), ("maximum", float("inf"))),
        )
    ]
    if not kinds or not kinds <= _IS_KIND.keys() or not all(map(_IS_KIND["number"], bounds)):
        return None
    texts = None if choices is None else _texts_in(choices)
    if choices is not None and texts is None:
        return None
    shortest, longest, lowest, highest = cast("list[float]", bounds)
    are_kind = [_IS_KIND[kind] for kind in kinds]

    def accepts(value: object) -> bool:
        if not any(is_kind(value) for is_kind in are_kind):
            return False
        if texts is not None:
            return (value is None or isinstance(value, str)) and value in texts
        if isinstance(value, str):
            return shortest <= len(value) <= longest
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return not is_number or lowest <= cast("float", value) <= highest

    return accepts


def _strings(value: object) -> frozenset[str]:
    values = cast("list[object]", value) if isinstance(value, list) else [value]
    return frozenset(kind if isinstance(kind, str) else "" for kind in values)


def _texts_in(choices: object) -> frozenset[str | None] | None:
    """Return choices that are texts or null; None if one is anything else."""
    if not isinstance(choices, list):
        return None
    values = cast("list[object]", choices)
    texts = [value for value in values if value is None or isinstance(value, str)]
    return frozenset(texts) if len(texts) == len(values) else None
