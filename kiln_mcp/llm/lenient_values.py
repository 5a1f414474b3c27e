"""Values as people and models write them, read as a JSON schema means them.

Only what can mean one thing is read: "4" for an integer, "PASS" for the choice pass, `Quality` for
the property quality, "Quality: 4" for an object whose other properties are reasons.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from kiln_mcp.llm.json_pieces import read_scalar
from kiln_mcp.llm.word_values import (
    ABSENT,
    MARKUP,
    Absent,
    Schema,
    choices_of,
    kinds_of,
    plain,
    read_remark,
    read_word,
    takes_any_text,
)

_LINE: Final = re.compile(
    r"[\s*_#>|`\"'-]*(?:\d{1,2}[.)]\s+)?(?:the |my )?([^\W\d_][\w -]{0,60}?)[\s*_`\"']*"
    r"(?:[:=|\uff1a]|\s(?:is|[-\u2013\u2014])\s)(.*)",
    re.IGNORECASE,
)
_REASONS: Final = frozenset(
    {"reasoning", "reason", "reasons", "rationale", "explanation", "thoughts", "comment"}
)
_VERDICTS: Final = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "final", "overall", "my")
    for name in (
        *("verdict", "score", "rating", "grade", "judgement", "judgment"),
        *("result", "answer", "decision", "conclusion"),
    )
) | frozenset(
    (
        *("urteil", "bewertung", "ergebnis", "jugement", "évaluation", "résultat"),
        *("veredicto", "puntuación", "resultado", "verdetto", "punteggio", "oordeel"),
        *("вердикт", "оценка", "结论", "评分", "得分", "判定", "評価", "판정", "평가"),
    )
)
"""Labels of an only value that are not its name."""


def adapt_value(value: JsonValue, schema: Schema) -> JsonValue:
    """Return a value as a schema means it; unchanged where it may mean several things."""
    kinds = kinds_of(schema)
    match value:
        case [only] if kinds and "array" not in kinds:
            return adapt_value(only, schema)
        case dict() if "object" in kinds or "properties" in schema:
            return _adapt_object(value, schema)
        case dict() if kinds and not takes_any_text(schema):
            return _only_value(value, schema)
        case list():
            items = _schema(schema.get("items"))
            return [adapt_value(item, items) for item in value]
        case str() if not takes_any_text(schema):
            read = read_word(value, schema)
            return value if isinstance(read, Absent) else read
        case bool() if choices_of(schema):
            read = read_word(str(value), schema)
            return value if isinstance(read, Absent) else read
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
    read = read_remark(_value_of_line(text.strip()), schema)
    if not isinstance(read, Absent):
        yield read


def is_attempt(value: JsonValue, schema: Schema) -> bool:
    """Return whether a value was meant for a schema: it has all properties that must be there."""
    required = schema.get("required")
    if not (isinstance(value, dict) and isinstance(required, list) and required):
        return False
    return {plain(str(key)) for key in required} <= {plain(key) for key in value}


def is_echo(value: JsonValue, schema: Schema) -> bool:
    """Return whether a value is the schema itself, which some models repeat."""
    if not isinstance(value, dict) or "properties" not in schema:
        return False
    return value == schema or (value.get("properties") == schema["properties"])


def _adapt_object(value: dict[str, JsonValue], schema: Schema) -> JsonValue:
    properties = _properties(schema)
    if len(value) == 1 and not value.keys() & properties.keys():
        [(key, inner)] = value.items()
        if is_attempt(inner, schema) and plain(key) not in map(plain, properties):
            return adapt_value(inner, schema)
    names = {plain(name): name for name in properties}
    is_clear = len(names) == len(properties)
    result: dict[str, JsonValue] = {}
    for key, part in value.items():
        name = names.get(plain(key), key) if is_clear and key not in properties else key
        if name in result or (name != key and name in value):
            return value
        result[name] = adapt_value(part, _schema(properties.get(name)))
    return _complete_verdict(result, schema)


def _complete_verdict(value: dict[str, JsonValue], schema: Schema) -> JsonValue:
    """Return a verdict with its only value under its name, and with its reasons, if any."""
    shape = _verdict_shape(schema)
    if shape is None:
        return value
    reasons, closed = shape
    properties = _properties(schema)
    result = dict(value)
    extra = [key for key in value if key not in properties]
    labels = [key for key in extra if plain(key) in _VERDICTS]
    if len(closed) == len(labels) == 1 and closed[0] not in value:
        result[closed[0]] = adapt_value(result.pop(labels[0]), _schema(properties[closed[0]]))
    labels = [key for key in extra if plain(key) in _REASONS]
    if len(reasons) == len(labels) == 1 and reasons[0] not in value:
        result[reasons[0]] = result.pop(labels[0])
    texts = {name: _reason(result.get(name), _schema(properties.get(name))) for name in reasons}
    remarks = {key for key in extra if plain(key) not in _VERDICTS} if reasons else set[str]()
    return {name: part for name, part in result.items() if name not in remarks} | texts


def _reason(value: JsonValue, schema: Schema) -> JsonValue:
    """Return reasons as a text; they carry no value, so that a missing or long one is no fault."""
    match value:
        case None:
            text = ""
        case str():
            text = value
        case list() if all(isinstance(part, str) for part in value):
            text = "\n".join(map(str, value))
        case _:
            return value
    longest = schema.get("maxLength")
    return text[:longest] if isinstance(longest, int) else text


def _only_value(value: dict[str, JsonValue], schema: Schema) -> JsonValue:
    """Return the only value in an object beside reasons, such as {"score": 4}."""
    parts = [part for key, part in value.items() if plain(key) not in _REASONS]
    if len(parts) != 1 or isinstance(parts[0], dict | list):
        return value
    return adapt_value(parts[0], schema)


def _verdict_shape(schema: Schema) -> tuple[list[str], list[str]] | None:
    """Return the names of reasons and of values that a verdict needs; None for other objects."""
    properties = _properties(schema)
    names = schema.get("required")
    required = [str(name) for name in names] if isinstance(names, list) else list(properties)
    reasons = [name for name in required if takes_any_text(_schema(properties.get(name)))]
    closed = [name for name in required if name not in reasons]
    is_verdict = closed and set(reasons) <= _REASONS and set(closed) <= properties.keys()
    return (reasons, closed) if is_verdict else None


def _objects_in_words(text: str, schema: Schema) -> Iterator[JsonValue]:
    shape = _verdict_shape(schema)
    if shape is None:
        return
    reason_names, names = shape
    properties = {key: _schema(part) for key, part in _properties(schema).items()}
    lines = [line for line in text.splitlines() if line.strip(MARKUP)]
    by_name = _by_label(lines)
    if len(names) > 1 and not {plain(name) for name in names} <= by_name.keys():
        by_name = _by_label(re.split(r"[\n;,]", text))
    values = {
        name: read_remark(by_name[plain(name)], properties[name])
        for name in names
        if plain(name) in by_name
    }
    if not values and len(names) == 1:
        values = {names[0]: _only_value_in(lines, properties[names[0]])}
    read = {name: value for name, value in values.items() if not isinstance(value, Absent)}
    if len(read) == len(names):
        reasons = {
            name: _reason(by_name.get(plain(name), text).strip(), properties[name])
            for name in reason_names
        }
        yield {**reasons, **read}


def _by_label(lines: Sequence[str]) -> dict[str, str]:
    return {plain(match[1]): match[2] for match in map(_LINE.fullmatch, lines) if match}


def _only_value_in(lines: Sequence[str], schema: Schema) -> JsonValue | Absent:
    """Return the value in lines of which none bears its name: labelled, last, or the only one."""
    readings: list[JsonValue] = []
    for line in reversed(lines):
        match = _LINE.fullmatch(line)
        is_labelled = match is not None and plain(match[1]) in _VERDICTS
        value = read_remark(match[2] if match and is_labelled else line, schema)
        if isinstance(value, Absent):
            continue
        if is_labelled or line is lines[-1]:
            return value
        readings.append(value)
    is_one = bool(readings) and all(value == readings[0] for value in readings)
    return readings[0] if is_one else ABSENT


def _value_of_line(text: str) -> str:
    match = _LINE.fullmatch(text)
    return match[2] if match else text


def _properties(schema: Schema) -> Mapping[str, JsonValue]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _schema(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}
