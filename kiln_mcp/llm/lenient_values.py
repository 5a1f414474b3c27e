"""Values as people and models write them, read as a JSON schema means them.

Only what can mean one thing is read: "4" for an integer, "PASS" for the choice pass, `Quality` for
the property quality, "Quality: 4" for an object whose other properties are reasons.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm.json_pieces import read_scalar

Schema = Mapping[str, JsonValue]

_MARKUP: Final = " \t\r\n*_`'\".!"
_NUMBER: Final = re.compile(r"([-+]?\d{1,15}(?:\.\d{1,15})?)(?:\s*(?:/|out of)\s*(\d{1,6}))?")
_LINE: Final = re.compile(r"[\s*_#>`\"'-]*([A-Za-z][\w -]{0,60}?)[\s*_`\"']*[:=](.*)")
_YES: Final = {"true": True, "yes": True, "false": False, "no": False}
_NOTHING: Final = frozenset({"null", "none", "n/a"})
_REASONS: Final = frozenset(
    {"reasoning", "reason", "reasons", "rationale", "explanation", "thoughts", "comment"}
)


class _Absent:
    """No value can be read."""


_ABSENT: Final = _Absent()


def adapt_value(value: JsonValue, schema: Schema) -> JsonValue:
    """Return a value as a schema means it; unchanged where it may mean several things."""
    kinds = kinds_of(schema)
    match value:
        case [only] if kinds and "array" not in kinds:
            return adapt_value(only, schema)
        case dict() if "object" in kinds or "properties" in schema:
            return _adapt_object(value, schema)
        case list():
            items = _schema(schema.get("items"))
            return [adapt_value(item, items) for item in value]
        case str() if not _takes_any_text(schema):
            read = _scalar(value, schema)
            return value if isinstance(read, _Absent) else read
        case int() if kinds == frozenset({"string"}) and not isinstance(value, bool):
            return str(value)
        case _:
            return value


def values_in_words(text: str, schema: Schema) -> Iterator[JsonValue]:
    """Yield the values that a text without a JSON object or list may mean, the likeliest first."""
    if _properties(schema):
        yield from _objects_in_words(text, schema)
        return
    scalar = read_scalar(text.strip())
    if scalar is not None:
        if scalar.fault:
            return
        yield scalar.value
    read = _scalar(_value_of_line(text.strip()), schema)
    if not isinstance(read, _Absent):
        yield read


def kinds_of(schema: Schema) -> frozenset[str]:
    """Return the JSON types that a schema names; empty if it names none."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset({kind})
    return frozenset(str(part) for part in kind) if isinstance(kind, list) else frozenset()


def is_attempt(value: JsonValue, schema: Schema) -> bool:
    """Return whether a value was meant for a schema: it has all properties that must be there."""
    required = schema.get("required")
    if not (isinstance(value, dict) and isinstance(required, list) and required):
        return False
    return {_plain(str(key)) for key in required} <= {_plain(key) for key in value}


def is_echo(value: JsonValue, schema: Schema) -> bool:
    """Return whether a value is the schema itself, which some models repeat."""
    if not isinstance(value, dict) or "properties" not in schema:
        return False
    return value == schema or (value.get("properties") == schema["properties"])


def _adapt_object(value: dict[str, JsonValue], schema: Schema) -> JsonValue:
    properties = _properties(schema)
    if len(value) == 1 and not value.keys() & properties.keys():
        [(key, inner)] = value.items()
        if is_attempt(inner, schema) and _plain(key) not in map(_plain, properties):
            return adapt_value(inner, schema)
    names = {_plain(name): name for name in properties}
    is_clear = len(names) == len(properties)
    result: dict[str, JsonValue] = {}
    for key, part in value.items():
        name = names.get(_plain(key), key) if is_clear and key not in properties else key
        if name in result or (name != key and name in value):
            return value
        result[name] = adapt_value(part, _schema(properties.get(name)))
    return result


def _objects_in_words(text: str, schema: Schema) -> Iterator[JsonValue]:
    properties = {key: _schema(part) for key, part in _properties(schema).items()}
    names = schema.get("required")
    required = [str(name) for name in names] if isinstance(names, list) else list(properties)
    open_names = [name for name in required if _takes_any_text(properties.get(name, {}))]
    closed_names = [name for name in required if name not in open_names]
    if not closed_names or not set(open_names) <= _REASONS:
        return
    lines = [line for line in text.splitlines() if line.strip(_MARKUP)]
    by_name = {_plain(match[1]): match[2] for match in map(_LINE.fullmatch, lines) if match}
    texts = {name: by_name[_plain(name)] for name in closed_names if _plain(name) in by_name}
    if not texts and len(closed_names) == 1 and lines:
        texts = {closed_names[0]: lines[-1]}
    values = {name: _scalar(words, properties.get(name, {})) for name, words in texts.items()}
    read = {name: value for name, value in values.items() if not isinstance(value, _Absent)}
    if len(read) == len(closed_names):
        reasons = {name: by_name.get(_plain(name), text).strip() for name in open_names}
        yield {**reasons, **read}


def _value_of_line(text: str) -> str:
    match = _LINE.fullmatch(text)
    return match[2] if match else text


def _scalar(text: str, schema: Schema) -> JsonValue | _Absent:
    """Return the value of a schema that a text means."""
    words = text.strip(_MARKUP)
    choices = _choices(schema)
    if choices is not None:
        matches = [value for value in choices if _means(words, value)]
        return matches[0] if len(matches) == 1 else _ABSENT
    kinds = kinds_of(schema)
    if "null" in kinds and words.casefold() in _NOTHING:
        return None
    if kinds & {"integer", "number"}:
        return _number(words, schema)
    if "boolean" in kinds:
        return _YES.get(words.casefold(), _ABSENT)
    return text.strip() if "string" in kinds else _ABSENT


def _means(words: str, value: JsonValue) -> bool:
    match value:
        case None:
            return words.casefold() in _NOTHING
        case bool():
            return words.casefold() == str(value).casefold()
        case str():
            return _plain(words) == _plain(value)
        case int() | float():
            return _number(words, {"type": "number"}) == value
        case _:
            return False


def _number(words: str, schema: Schema) -> JsonValue | _Absent:
    match = _NUMBER.fullmatch(words)
    if match is None or (match[2] and float(match[2]) != schema.get("maximum")):
        return _ABSENT
    value = float(match[1])
    return int(value) if value.is_integer() else value


def _choices(schema: Schema) -> list[JsonValue] | None:
    if "const" in schema:
        return [schema["const"]]
    choices = schema.get("enum")
    return choices if isinstance(choices, list) else None


def _takes_any_text(schema: Schema) -> bool:
    return "string" in kinds_of(schema) and _choices(schema) is None


def _properties(schema: Schema) -> Mapping[str, JsonValue]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _schema(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()
