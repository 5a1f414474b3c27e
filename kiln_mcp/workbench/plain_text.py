"""The plain text of a structured answer, for models and people at any door.

The text says all that the structured form says, in fewer tokens: `key: value` lines, Markdown
tables for lists of records, indented blocks for longer text. `plain` leaves empty values out of
both forms, so that the two always mean the same.

The field `next` of a result holds the calls that help, as `NextStep`. Each becomes one line, which
a door may write in its own way.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import get_args, get_origin

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic.fields import FieldInfo

from storage.errors import NextStep
from storage.text.characters import repair_texts

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move a terminal's cursor, change its colours, or turn the order of letters."""

_INLINE = 100
"""Characters that a list of short values may take on one line."""


_STEPS = "next"
"""The key of next steps."""

_VERBATIM = "content"
"""The key of messages' texts. A model answers them as they are, so no table's cell holds them."""


def plain(result: BaseModel) -> dict[str, JsonValue]:
    """Return the answer as JSON data without nulls and empty lists.

    A list of records that every answer of its kind has stays: that there are none is the answer.
    """
    data: dict[str, JsonValue] = repair_texts(result.model_dump(mode="json"))
    values = {name: _prune(value) for name, value in data.items()}
    fields = type(result).model_fields
    return {
        name: value
        for name, value in values.items()
        if value is not None and (value != [] or _lists_records(fields.get(name)))
    }


def _lists_records(field: FieldInfo | None) -> bool:
    if field is None or not field.is_required() or get_origin(field.annotation) is not list:
        return False
    [kind] = get_args(field.annotation)
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def render(data: Mapping[str, JsonValue], step_line: Callable[[NextStep], str] = str) -> str:
    """Return the text form of a structured answer.

    Args:
        data: The answer.
        step_line: Writes a next step as one line.
    """
    texts = _with_step_lines(dict(data), step_line)
    return "\n".join(_mapping_lines(texts, "")) if isinstance(texts, dict) else ""


def _with_step_lines(
    node: JsonValue, step_line: Callable[[NextStep], str], *, in_list: bool = False
) -> JsonValue:
    """Replace next steps by their lines; in the rows of a list they are one text."""
    if isinstance(node, list):
        return [_with_step_lines(item, step_line, in_list=True) for item in node]
    if not isinstance(node, dict):
        return node
    texts: dict[str, JsonValue] = {}
    for key, value in node.items():
        steps = _steps_in(value) if key == _STEPS else []
        lines: list[JsonValue] = [step_line(step) for step in steps]
        if lines and in_list:
            texts[key] = "; ".join(map(str, lines))
        else:
            texts[key] = lines or _with_step_lines(value, step_line, in_list=in_list)
    return texts


def _steps_in(value: JsonValue) -> list[NextStep]:
    """Return a list of next steps from its JSON form; an empty list if it is something else."""
    try:
        return [NextStep.model_validate(row) for row in value] if isinstance(value, list) else []
    except ValidationError:
        return []


def for_terminal(text: str) -> str:
    """Return a text with the characters escaped that would control a terminal.

    The escapes are JSON's own: JSON text stays the same value.
    """
    lines = text.replace("\r\n", "\n")
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", lines)


def _prune(node: JsonValue) -> JsonValue:
    if isinstance(node, list):
        return [_prune(item) for item in node]
    if isinstance(node, dict):
        values = {key: _prune(value) for key, value in node.items()}
        return {key: value for key, value in values.items() if value is not None and value != []}
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
    is_short = sum(map(len, texts)) <= _INLINE and not any("\n" in text for text in texts)
    if is_short and key != _STEPS:
        yield f"{indent}{key}: [{', '.join(texts)}]"
    else:
        yield f"{indent}{key}:"
        yield from (f"{indent}  - {_indent(text, indent + '    ')}" for text in texts)


def _blocks(rows: list[dict[str, JsonValue]], indent: str) -> Iterable[str]:
    for row in rows:
        lines = list(_mapping_lines(row, indent + "  "))
        yield f"{indent}- {lines[0].lstrip()}" if lines else f"{indent}- {{}}"
        yield from lines[1:]


def _is_flat(rows: list[dict[str, JsonValue]]) -> bool:
    """Return whether rows make a table: short values, and a second row to pay for the header."""
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


def _indent(text: str, indent: str) -> str:
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
