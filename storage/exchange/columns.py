"""The columns of a table of runs: a row from a run, and a run from a row."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NoReturn, cast

from pydantic import ValidationError

from storage.records import DataSource, TaskOutput, TaskRun
from storage.records.record import fault_text
from storage.records.run import TOPIC
from storage.text.excerpts import excerpt

Row = Mapping[str, object]
"""Values by column: text, numbers, times, and lists or objects where the form of table has them."""

Kind = Literal["text", "tags", "number", "moment", "json"]

COLUMNS: Final[Mapping[str, Kind]] = {
    "id": "text",
    "created_at": "moment",
    "created_by": "text",
    "input": "text",
    "output": "text",
    "repaired": "text",
    "repair_instructions": "text",
    "tags": "tags",
    "reasoning": "text",
    "rating": "number",
    "rating_type": "text",
    "score_ratings": "json",
    "model": "text",
    "cost_usd": "number",
    "trace": "json",
    "topic": "text",
    "other_right_outputs": "json",
}
NEWER_COLUMNS: Final = frozenset({"topic", "other_right_outputs"})
"""Columns that our older tables lack."""
NEEDED: Final = ("input", "output")

_LONGEST_SHOWN: Final = 60
_FROM_COLUMN: Final[Mapping[str, str]] = {
    "output.rating.type": "rating_type",
    "output.rating.requirement_ratings": "score_ratings",
    "output.rating": "rating",
    "output": "output",
    "usage.cost": "cost_usd",
    "intermediate_outputs": "reasoning",
    "repaired_output": "repaired",
}
"""Where the columns go that are not fields of a run by their own names; the first that fits."""

_SEPARATOR = re.compile(r"[\s,;]+")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be imported.

    Attributes:
        number: Its place in the table: the line of a text file, or the row; see `TableSource.unit`.
        reason: What is wrong with it.
    """

    number: int
    reason: str


def row_of(run: TaskRun) -> Row:
    """Return a run as a row, with a value for every column; None for what it does not have."""
    rating, repair = run.output.rating, run.repaired_output
    scores = rating.model_dump(mode="json")["requirement_ratings"] if rating else None
    source = run.output.source.properties if run.output.source else {}
    trace = [message.model_dump(mode="json") for message in run.trace] if run.trace else None
    return {
        "id": run.id,
        "created_at": run.created_at,
        "created_by": run.created_by,
        "input": run.input,
        "output": run.output.output,
        "repaired": repair.output if repair else None,
        "repair_instructions": run.repair_instructions,
        "tags": list(run.tags),
        "reasoning": run.reasoning,
        "rating": rating.value if rating else None,
        "rating_type": rating.type if rating else None,
        "score_ratings": scores or None,
        "model": source.get("model_name"),
        "cost_usd": run.usage.cost if run.usage else None,
        "trace": trace,
        "topic": run.input_source.properties.get(TOPIC) if run.input_source else None,
        "other_right_outputs": list(run.other_right_outputs) or None,
    }


@dataclass(frozen=True, slots=True)
class RunSources:
    """Where a run's input and output come from."""

    input: DataSource
    output: DataSource


def run_of(row: Row, run_id: str, sources: RunSources) -> TaskRun:
    """Return the run that a row stands for.

    Args:
        row: Its values: the columns, and `usage`; those of other names are not looked at.
        run_id: The run's id; that of the row is not looked at.
        sources: Where input and output come from.

    Raises:
        ValueError: Something is wrong with the row; the text says what.
    """
    for column in NEEDED:
        if _text(row, column) is None:
            raise ValueError(f"its {column} is empty")
    repair, reasoning = _text(row, "repaired"), _text(row, "reasoning")
    output = {"output": _text(row, "output"), "source": sources.output, "rating": _rating(row)}
    optional = {
        "created_at": _value(row, "created_at"),
        "created_by": _text(row, "created_by"),
        "intermediate_outputs": {"reasoning": reasoning} if reasoning else None,
        "repaired_output": TaskOutput(output=repair, source=sources.input) if repair else None,
        "repair_instructions": _text(row, "repair_instructions"),
        "usage": row.get("usage") or _usage(row),
        "trace": _json(row, "trace"),
    }
    data: dict[str, object] = {
        "id": run_id,
        "input": _text(row, "input"),
        "input_source": sources.input,
        "output": output,
        "tags": _tags(row),
        **{key: value for key, value in optional.items() if value is not None},
    }
    try:
        return TaskRun.model_validate(data)
    except ValidationError as error:
        raise ValueError(_fault_of_row(error)) from error


def _fault_of_row(error: ValidationError) -> str:
    """Return the first fault of a row's run, by the column that it comes from."""
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(step) for step in fault["loc"])
    columns = [column for start, column in _FROM_COLUMN.items() if where.startswith(start)]
    message = fault_text(fault)
    if not where:
        return message
    value = fault["input"]
    value_text = (
        f": {excerpt(repr(value), _LONGEST_SHOWN)}" if isinstance(value, str | int | float) else ""
    )
    return f"its {columns[0] if columns else where} cannot be used: {message}{value_text}"


def _rating(row: Row) -> Mapping[str, object] | None:
    """Return a rating as data, to be checked with the run."""
    stars, scores = _value(row, "rating"), _json(row, "score_ratings")
    if stars is None and not scores:
        return None
    _refuse_switches("rating", stars)
    _refuse_switches("score_ratings", scores)
    scale = _text(row, "rating_type") or "five_star"
    return {"value": stars, "type": scale, "requirement_ratings": scores or {}}


def _refuse_switches(column: str, value: object) -> None:
    """Refuse true and false, which would be taken for 1 and 0, at any depth."""
    if isinstance(value, bool):
        raise ValueError(f"its {column} cannot be used: it is no number: {value}")  # noqa: TRY004
    if isinstance(value, dict):
        for part in cast("dict[str, object]", value).values():
            _refuse_switches(column, part)


def _usage(row: Row) -> Mapping[str, object] | None:
    cost = _value(row, "cost_usd")
    if cost is None:
        return None
    try:
        number = float(str(cost))
    except ValueError:
        raise ValueError(f"its cost_usd is no number: {cost!r}") from None
    if not math.isfinite(number):
        raise ValueError("its cost_usd is not finite")
    return {"cost": number}


def _value(row: Row, key: str) -> object:
    """Return a value; None if it is empty, as tables have it: no text, or no number."""
    value = row.get(key)
    if isinstance(value, float) and math.isnan(value):
        return None
    return None if value == "" else value


def _text(row: Row, key: str) -> str | None:
    value = _value(row, key)
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=_as_json)


def _tags(row: Row) -> tuple[str, ...]:
    value = _value(row, "tags")
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _json(row, "tags")
    if isinstance(value, list):
        return tuple(_tag(tag) for tag in cast("list[object]", value))
    return () if value is None else tuple(tag for tag in _SEPARATOR.split(_tag(value)) if tag)


def _tag(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        text = excerpt(repr(value), _LONGEST_SHOWN)
        raise ValueError(f"its tags cannot be used: {text} is no text")  # noqa: TRY004
    return str(value)


def _json(row: Row, key: str) -> object:
    value = _value(row, key)
    if not isinstance(value, str):
        return value
    try:
        return read_json(value)
    except ValueError as error:
        raise ValueError(f"its {key} is no JSON ({error})") from error


def read_json(text: str) -> object:
    """Return the value of JSON text.

    Raises:
        ValueError: It is none, is nested too deep, or holds a key twice. Or it holds a number that
            JSON does not know or that no reader can hold.
    """
    try:
        return JSON_DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _each_key_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    data = dict(pairs)
    if len(data) < len(pairs):
        times = Counter(key for key, _ in pairs)
        twice = next(key for key, count in times.items() if count > 1)
        raise ValueError(f"it has the key {excerpt(repr(twice), _LONGEST_SHOWN)} more than once")
    return data


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {excerpt(text, _LONGEST_SHOWN)} is too large")
    return number


JSON_DECODER: Final = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_each_key_once
)
"""Reads JSON that any other reader takes as well."""


def _as_json(value: object) -> object:
    """Return what JSON has instead of a type that only some tables know."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        raise ValueError("it holds bytes instead of text")  # noqa: TRY004 - the row is at fault
    return str(value)
