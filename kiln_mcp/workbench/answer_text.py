"""The text form of an answer's data, with the standard library alone.

The text says all that the structured form says, in fewer tokens: `key: value` lines, Markdown
tables for lists of records, indented blocks for longer text.

The field `next` holds the calls that help, as `NextStep`. Each becomes one line, which a door may
write in its own way.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from pydantic import JsonValue

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move a terminal's cursor, change its colours, or turn the order of letters."""

_INLINE = 100
"""Characters that a list of short values may take on one line."""


STEPS = "next"
"""The key of next steps."""

_VERBATIM = "content"
"""The key of messages' texts. A model answers them as they are, so no table's cell holds them."""


class Step(Protocol):
    """A next step: a `NextStep`, or its JSON form."""

    @property
    def tool(self) -> str:
        """The capability's name."""
        ...

    @property
    def reason(self) -> str:
        """What the call is good for."""
        ...

    @property
    def arguments(self) -> "Mapping[str, JsonValue] | None":
        """The arguments whose values are certain."""
        ...


class StepRow(NamedTuple):
    """The JSON form of a `NextStep`."""

    tool: str
    reason: str
    arguments: "Mapping[str, JsonValue] | None" = None

    def __str__(self) -> str:
        call = f"{self.tool} {json.dumps(self.arguments)}" if self.arguments else self.tool
        return f"{call}: {self.reason}"


_STEP_KEYS = frozenset(StepRow._fields)


def render(data: "Mapping[str, JsonValue]", step_line: Callable[[Step], str] = str) -> str:
    """Return the text form of a structured answer.

    Args:
        data: The answer.
        step_line: Writes a next step as one line.
    """
    texts = _with_step_lines(dict(data), step_line)
    return "\n".join(_mapping_lines(texts, "")) if isinstance(texts, dict) else ""


def _with_step_lines(
    node: "JsonValue", step_line: Callable[[Step], str], *, in_list: bool = False
) -> "JsonValue":
    """Replace next steps by their lines; in the rows of a list they are one text."""
    if isinstance(node, list):
        return [_with_step_lines(item, step_line, in_list=True) for item in node]
    if not isinstance(node, dict):
        return node
    texts: dict[str, JsonValue] = {}
    for key, value in node.items():
        steps = steps_in(value) if key == STEPS else []
        lines: list[JsonValue] = [step_line(step) for step in steps]
        if lines and in_list:
            texts[key] = "; ".join(map(str, lines))
        else:
            texts[key] = lines or _with_step_lines(value, step_line, in_list=in_list)
    return texts


def steps_in(value: "JsonValue") -> list[StepRow]:
    """Return a list of next steps from its JSON form; an empty list if it is something else."""
    rows = value if isinstance(value, list) else []
    steps = [_step_in(row) for row in rows if isinstance(row, dict)]
    return [step for step in steps if step is not None] if len(steps) == len(rows) else []


def _step_in(row: "Mapping[str, JsonValue]") -> StepRow | None:
    tool, reason, arguments = (row.get(name) for name in StepRow._fields)
    is_step = isinstance(tool, str) and isinstance(reason, str) and row.keys() <= _STEP_KEYS
    if not is_step or not isinstance(arguments, dict | None):
        return None
    return StepRow(str(tool), str(reason), arguments)


def for_terminal(text: str) -> str:
    """Return a text with the characters escaped that would control a terminal.

    The escapes are JSON's own: JSON text stays the same value.
    """
    lines = text.replace("\r\n", "\n")
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", lines)


def _mapping_lines(data: "Mapping[str, JsonValue]", indent: str) -> Iterable[str]:
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


def _list_lines(key: str, items: "list[JsonValue]", indent: str) -> Iterable[str]:
    rows = [item for item in items if isinstance(item, dict)]
    if rows and len(rows) == len(items):
        yield f"{indent}{key}:"
        yield from _table(rows, indent) if _is_flat(rows) else _blocks(rows, indent + "  ")
        return
    texts = [_scalar(item) for item in items]
    is_short = sum(map(len, texts)) <= _INLINE and not any("\n" in text for text in texts)
    if is_short and key != STEPS:
        yield f"{indent}{key}: [{', '.join(texts)}]"
    else:
        yield f"{indent}{key}:"
        yield from (f"{indent}  - {_indent(text, indent + '    ')}" for text in texts)


def _blocks(rows: "list[dict[str, JsonValue]]", indent: str) -> Iterable[str]:
    for row in rows:
        lines = list(_mapping_lines(row, indent + "  "))
        yield f"{indent}- {lines[0].lstrip()}" if lines else f"{indent}- {{}}"
        yield from lines[1:]


def _is_flat(rows: "list[dict[str, JsonValue]]") -> bool:
    """Return whether rows make a table: short values, and a second row to pay for the header."""
    values = [value for row in rows for value in row.values()]
    short = all(not isinstance(v, dict | list) and len(_scalar(v)) <= _INLINE for v in values)
    verbatim = any(_VERBATIM in row for row in rows)
    return short and len(rows) > 1 and not verbatim


def _table(rows: "list[dict[str, JsonValue]]", indent: str) -> Iterable[str]:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    yield f"{indent}| {' | '.join(columns)} |"
    yield f"{indent}|{'---|' * len(columns)}"
    for row in rows:
        cells = [_cell(row[column]) if column in row else "" for column in columns]
        yield f"{indent}| {' | '.join(cells)} |"


def _cell(value: "JsonValue") -> str:
    return _scalar(value).replace("|", "\\|").replace("\n", " ⏎ ")


def _indent(text: str, indent: str) -> str:
    return text.replace("\n", f"\n{indent}")


def _scalar(value: "JsonValue") -> str:
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
