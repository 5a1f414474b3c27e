"""Say which rule a value of an argument breaks, and what is valid there."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import ErrorDetails

from kiln_mcp.workbench.argument_places import Schema, members_of, tag_of, tags_of, values_of
from storage.text.excerpts import LONGEST_REASON, excerpt
from storage.text.suggestions import did_you_mean

_Context = Mapping[str, Any]

_KINDS: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}
"""What people call the types of JSON Schema."""
_TYPES: Final[Mapping[str, str]] = {
    "string": "string",
    "int": "integer",
    "float": "number",
    "decimal": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "set": "array",
    "dict": "object",
    "model": "object",
    "dataclass": "object",
}
"""The type of JSON Schema that the first word of an error's type stands for."""
_BOUNDS: Final[Mapping[str, str]] = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_pattern_mismatch": "text that fits the pattern {pattern}",
}
_RULES: Final[Mapping[str, str]] = {
    "finite_number": "it has to be a finite number",
    "none_required": "it has to be left out or null",
    "invalid_key": "its names have to be text",
}


def broken_rule(detail: ErrorDetails, schema: Schema) -> str:
    """Return the rule that a value breaks, as a clause in our words.

    Args:
        detail: What pydantic says.
        schema: The schema of the value; empty if unknown.
    """
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _RULES:
        return _RULES[kind]
    if kind in _BOUNDS:
        return f"it has to be {_range_of(schema) or _BOUNDS[kind].format_map(_numbers(context))}"
    if kind in {"value_error", "assertion_error"}:
        return excerpt(context.get("error", ""), LONGEST_REASON).rstrip(".")
    write = _WRITERS.get(kind)
    return write(context, schema, detail["input"]) if write else _type_rule(kind, schema)


def _range_of(schema: Schema) -> str:
    """Return "from 1 to 100", if a schema has both bounds."""
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    is_closed = lowest is not None and highest is not None
    return f"from {_number(lowest)} to {_number(highest)}" if is_closed else ""


def _numbers(context: _Context) -> Mapping[str, str]:
    return {name: _number(value) for name, value in context.items()}


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _choice(context: _Context, schema: Schema, value: object) -> str:
    values = values_of(schema) or re.findall(r"'([^']*)'", str(context.get("expected", "")))
    return list_choices(values, value)


def list_choices(values: Sequence[str], value: object) -> str:
    """Return the clause that lists all valid values, and suggests the one nearest to a value."""
    if len(values) == 1:
        return f"it has to be '{values[0]}'"
    suggestion = did_you_mean(value, values) if isinstance(value, str) and value else ""
    return f"it has to be one of: {', '.join(values)}.{suggestion}".removesuffix(".")


def _too_few(context: _Context, schema: Schema, value: object) -> str:
    return f"it needs at least {_count(context['min_length'], 'entry', 'entries')}"


def _too_many(context: _Context, schema: Schema, value: object) -> str:
    return f"it may have at most {_count(context['max_length'], 'entry', 'entries')}"


def _too_short(context: _Context, schema: Schema, value: object) -> str:
    return f"it needs at least {_count(context['min_length'], 'character', 'characters')}"


def _too_long(context: _Context, schema: Schema, value: object) -> str:
    return f"it may have at most {_count(context['max_length'], 'character', 'characters')}"


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number} {singular if number == 1 else plural}"


_WRITERS: Final[Mapping[str, Callable[[_Context, Schema, object], str]]] = {
    "literal_error": _choice,
    "enum": _choice,
    "too_short": _too_few,
    "too_long": _too_many,
    "string_too_short": _too_short,
    "string_too_long": _too_long,
}


def _type_rule(kind: str, schema: Schema) -> str:
    """Return the rule of an error about the type of a value."""
    word = kind.partition("_")[0]
    if word in {"date", "datetime", "time"}:
        return f"it has to be a {'date and time' if word == 'datetime' else word} in ISO 8601"
    members = members_of(schema)
    tag = tag_of(schema)
    if tag:
        return f"it has to be an object with a '{tag}', which is one of: " + ", ".join(
            tags_of(schema, tag)
        )
    own = [member for member in members if member.get("type") == _TYPES.get(word)]
    types = dict.fromkeys(_kind_of(member) for member in own or members)
    options = [option for option in types if option] or [_KINDS.get(_TYPES.get(word, ""), "")]
    return f"it has to be {' or '.join(options)}" if options[0] else "it is of a wrong kind"


def _kind_of(schema: Schema) -> str:
    """Return what a value of a schema is: "a list", "an object with: calls, seconds"."""
    name = str(schema.get("type", ""))
    properties, items = schema.get("properties"), schema.get("items")
    if isinstance(properties, dict) and properties:
        return f"an object with: {', '.join(properties)}"
    if isinstance(items, dict) and (member := str(items.get("type", ""))) in _MANY:
        return f"a list of {_MANY[member]}"
    return _KINDS.get(name, "")


_MANY: Final[Mapping[str, str]] = {
    "string": "texts",
    "integer": "whole numbers",
    "number": "numbers",
    "object": "objects",
}
