"""One plain text for a structured answer: what a model or a person reads at any door.

The text says all that the structured form says, in fewer tokens: `key: value` lines, Markdown
tables for lists of like things, indented blocks for longer text. Empty values are left out of
both forms by `plain`, so that the two always mean the same.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from storage.text.characters import repair_texts

_MEDDLING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move a terminal's cursor, change its colours, or turn the order of letters."""

_INLINE = 100
"""Characters that a list of short values may take on one line."""


_VERBATIM = "content"
"""The key of messages' texts: a model answers them as they are, so no table's cell holds them."""


def plain(result: BaseModel) -> dict[str, JsonValue]:
    """Return the answer as JSON data without nulls and empty lists.

    A list of records that every answer of its kind has stays: that there are none is the answer.
    """
    data: dict[str, JsonValue] = repair_texts(result.model_dump(mode="json"))
    kept = {name: _prune(value) for name, value in data.items()}
    fields = type(result).model_fields
    return {
        name: value
        for name, value in kept.items()
        if value is not None and (value != [] or _lists_records(fields.get(name)))
    }


def _lists_records(field: FieldInfo | None) -> bool:
    if field is None or not field.is_required() or get_origin(field.annotation) is not list:
        return False
    [kind] = get_args(field.annotation)
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def render(data: Mapping[str, JsonValue]) -> str:
    """Return the text form of a structured answer."""
    return "\n".join(_mapping_lines(data, ""))


def for_terminal(text: str) -> str:
    """Return a text in which what would meddle with a terminal is seen instead, escaped.

    The escapes are JSON's own: JSON text stays the same value.
    """
    lines = text.replace("\r\n", "\n")
    return _MEDDLING.sub(lambda found: f"\\u{ord(found.group()):04x}", lines)


def _prune(node: JsonValue) -> JsonValue:
    if isinstance(node, list):
        return [_prune(item) for item in node]
    if isinstance(node, dict):
        kept = {key: _prune(value) for key, value in node.items()}
        return {key: value for key, value in kept.items() if value is not None and value != []}
    return node


def _mapping_lines(data: Mapping[str, JsonValue], indent: str) -> Iterable[str]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:" if value else f"{indent}{key}: {{}}"
            yield from _mapping_lines(value, indent + "  ")
        elif isinstance(value, list):
            yield from _list_lines(key, value, indent)
        elif isinstance(value, str) and "\n" in value:
            yield f"{indent}{key}: |"
            yield from (f"{indent}  {line}".rstrip() for line in value.split("\n"))
        else:
            yield f"{indent}{key}: {_scalar(value)}"


def _list_lines(key: str, items: list[JsonValue], indent: str) -> Iterable[str]:
    rows = [item for item in items if isinstance(item, dict)]
    if rows and len(rows) == len(items):
        yield f"{indent}{key}:"
        yield from _table(rows, indent) if _is_flat(rows) else _blocks(rows, indent + "  ")
        return
    texts = [_scalar(item) for item in items]
    if sum(map(len, texts)) <= _INLINE and not any("\n" in text for text in texts):
        yield f"{indent}{key}: [{', '.join(texts)}]"
    else:
        yield f"{indent}{key}:"
        yield from (f"{indent}  - {_indented(text, indent + '    ')}" for text in texts)


def _blocks(rows: list[dict[str, JsonValue]], indent: str) -> Iterable[str]:
    for row in rows:
        lines = list(_mapping_lines(row, indent + "  "))
        yield f"{indent}- {lines[0].lstrip()}" if lines else f"{indent}- {{}}"
        yield from lines[1:]


def _is_flat(rows: list[dict[str, JsonValue]]) -> bool:
    """Whether the rows make a table: short values, and a second row to pay for the header."""
    values = [value for row in rows for value in row.values()]
    short = all(not isinstance(v, dict | list) and len(_scalar(v)) <= _INLINE for v in values)
    verbatim = any(_VERBATIM in row for row in rows)
    return short and len(rows) > 1 and not verbatim


def _table(rows: list[dict[str, JsonValue]], indent: str) -> Iterable[str]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    yield f"{indent}| {' | '.join(columns)} |"
    yield f"{indent}|{'---|' * len(columns)}"
    for row in rows:
        cells = [_cell(row[column]) if column in row else "" for column in columns]
        yield f"{indent}| {' | '.join(cells)} |"


def _cell(value: JsonValue) -> str:
    return _scalar(value).replace("|", "\\|").replace("\n", " ⏎ ")


def _indented(text: str, indent: str) -> str:
    return text.replace("\n", f"\n{indent}")


def _scalar(value: JsonValue) -> str:
    match value:
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case None:
            return "none"
        case int():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False)
