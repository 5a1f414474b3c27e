"""Answers of tools as tables: a list of like rows becomes one, with bars for intervals."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from pydantic import JsonValue
from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.fences import printable
from agent.terminal.plots import curve, interval_bar
from storage.text.excerpts import excerpt_line

Row = Mapping[str, JsonValue]

MOST_COLUMNS: Final = 10
MOST_ROWS: Final = 200
_LONGEST_CELL: Final = 200
_PROSE: Final = 60
"""Longer texts are read more easily in lines than in a column."""
_VALUES: Final = ("mean", "rate", "agreement", "value", "pass_rate")
"""What `low` and `high` are the ends of, if a row has one of these."""
_CURVES: Final = frozenset({"curve", "trace", "best_scores", "scores_by_round"})


def answer_tables(answer: JsonValue) -> RenderableType | None:
    """Return the tables and curves of an answer; None if it has none."""
    if not isinstance(answer, dict):
        return None
    parts: list[RenderableType] = []
    for name, value in answer.items():
        rows = _rows_of(value)
        if rows:
            parts.append(rows_table(name, rows))
        elif name in _CURVES and (numbers := _numbers_of(value)):
            parts.append(
                Text(f"{_title(name)}  {curve(numbers)}  {numbers[0]:g} → {numbers[-1]:g}")
            )
    return Group(*parts) if parts else None


def whole_tables(answer: JsonValue) -> set[str]:
    """Return the names of an answer's lists that their tables show without leaving anything out."""
    entries = answer.items() if isinstance(answer, dict) else ()
    return {name for name, value in entries if (rows := _rows_of(value)) and _is_whole(rows)}


def _is_whole(rows: Sequence[Row]) -> bool:
    has_parts = any(
        isinstance(value, list | dict) and value for row in rows for value in row.values()
    )
    columns = list(_columns(rows))
    return not has_parts and len(columns) <= MOST_COLUMNS and len(rows) <= MOST_ROWS


def rows_table(name: str, rows: Sequence[Row]) -> Table:
    """Return rows as a table; columns that are empty in all rows are left out.

    Args:
        name: What the rows are, as the answer names them.
        rows: At least one.
    """
    columns = list(_columns(rows))
    measure = next((value for value in _VALUES if value in columns), None)
    has_bars = measure is not None and {"low", "high"} <= set(columns)
    table = Table(title=_title(name), title_justify="left", box=SIMPLE, pad_edge=False)
    for column in columns[:MOST_COLUMNS]:
        numeric = all(_is_number(row.get(column)) or row.get(column) is None for row in rows)
        table.add_column(_title(column), justify="right" if numeric else "left")
    if has_bars:
        table.add_column("0 to 1", no_wrap=True)
    for row in rows[:MOST_ROWS]:
        cells = [_cell(row.get(column)) for column in columns[:MOST_COLUMNS]]
        table.add_row(*cells, *([_bar(row, str(measure))] if has_bars else []))
    if len(rows) > MOST_ROWS:
        table.caption = f"{len(rows) - MOST_ROWS} rows are left out here."
    return table


def answer_lines(answer: JsonValue) -> str:
    """Return the plain values and the sentences of an answer as lines."""
    lines: list[str] = []
    for name, value in answer.items() if isinstance(answer, dict) else ():
        if isinstance(value, str | int | float) and value != "":
            lines.append(f"{_title(name)}: {value}")
        elif isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            lines += [f"{_title(name)}:", *(f"  - {part}" for part in value)]
    return "\n".join(lines)


def _rows_of(value: JsonValue) -> list[Row]:
    if not isinstance(value, list) or not value:
        return []
    if not all(isinstance(entry, dict) for entry in value):
        return []
    rows = cast("list[Row]", value)
    is_steps = all({"tool", "why"} <= row.keys() or "tool" in row for row in rows)
    is_prose = any(
        isinstance(value, str) and len(value) > _PROSE for row in rows for value in row.values()
    )
    return [] if is_steps or is_prose or not list(_columns(rows)) else rows


def _columns(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the columns that hold a plain value in some row."""
    names: set[str] = set()
    for row in rows:
        for name, value in row.items():
            if name in names or value is None or isinstance(value, list | dict) or value == "":
                continue
            names.add(name)
            yield name


def _numbers_of(value: JsonValue) -> list[float]:
    if not isinstance(value, list) or len(value) < 2:
        return []
    numbers = [float(entry) for entry in value if isinstance(entry, int | float)]
    return numbers if len(numbers) == len(value) else []


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bar(row: Row, measure: str) -> str:
    numbers = [row.get(name) for name in (measure, "low", "high")]
    if not all(isinstance(number, int | float) for number in numbers):
        return ""
    value, low, high = (float(cast("float", number)) for number in numbers)
    return interval_bar(value, low, high, 16) if 0 <= low <= high <= 1 else ""


def _cell(value: JsonValue) -> Text:
    match value:
        case None:
            return Text("")
        case bool():
            return Text("yes" if value else "no")
        case float():
            return Text(f"{value:.4g}")
        case list() | dict():
            return Text("…")
        case _:
            return Text(excerpt_line(printable(str(value)), _LONGEST_CELL))


def _title(name: str) -> str:
    return name.replace("_", " ")
