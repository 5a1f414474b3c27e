"""Runs as tables that other programs read and write: JSONL and CSV.

Columns: `input` and `output` (required), `tags` (separated by spaces, commas or semicolons; in
JSONL also a list), `reasoning`, `rating` (1 to 5), and when exporting also `id` and `repaired`.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import ValidationError

from storage.exchange.errors import UnusableTable
from storage.records import DataSource, TaskOutput, TaskOutputRating, TaskRun
from storage.records.record import first_fault

TableFormat = Literal["jsonl", "csv"]
COLUMNS = ("id", "input", "output", "repaired", "tags", "reasoning", "rating")
_SEPARATOR = re.compile(r"[\s,;]+")
_LONGEST_FIELD = 10_000_000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be imported.

    Attributes:
        number: Its line in the table, the first being 1.
        reason: What is wrong with it.
    """

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedRuns:
    """The good rows as runs, and the bad ones by name."""

    runs: tuple[TaskRun, ...]
    bad_rows: tuple[BadRow, ...]


def runs_as_table(runs: Iterable[TaskRun], form: TableFormat) -> str:
    """Return runs as the text of a table."""
    rows = [_row(run) for run in runs]
    if form == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        tags = cast("list[str]", row["tags"])
        cells: dict[str, object] = {**row, "tags": " ".join(tags)}
        writer.writerow([cells[column] for column in COLUMNS])
    return text.getvalue()


def parse_runs(content: bytes, form: TableFormat, file_name: str) -> ParsedRuns:
    """Read runs from a table; each bad row is named and the good ones are kept.

    Raises:
        UnusableTable: It is no text, or has no column named input or output.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnusableTable(f"{file_name} is not UTF-8 text") from error
    rows = _jsonl_rows(text) if form == "jsonl" else _csv_rows(text)
    source = DataSource(type="file_import", properties={"file_name": file_name})
    runs: list[TaskRun] = []
    bad: list[BadRow] = []
    for number, row in rows:
        try:
            runs.append(_run(row, source))
        except ValidationError as error:
            bad.append(BadRow(number, first_fault(error)))
        except ValueError as error:
            bad.append(BadRow(number, str(error)))
    return ParsedRuns(tuple(runs), tuple(bad))


def _row(run: TaskRun) -> dict[str, object]:
    thoughts = run.intermediate_outputs or {}
    rating = run.output.rating
    return {
        "id": run.id,
        "input": run.input,
        "output": run.output.output,
        "repaired": run.repaired_output.output if run.repaired_output else None,
        "tags": list(run.tags),
        "reasoning": thoughts.get("reasoning") or thoughts.get("chain_of_thought"),
        "rating": rating.value if rating else None,
    }


def _jsonl_rows(text: str) -> Iterator[tuple[int, Mapping[str, object] | str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row: object = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, f"it is no JSON ({error})"
            continue
        yield number, cast("dict[str, object]", row) if isinstance(row, dict) else "it is no object"


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str, object] | str]]:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    missing = {"input", "output"} - set(reader.fieldnames or ())
    if missing:
        raise UnusableTable(f"the table has no column {' and no column '.join(sorted(missing))}")
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, str(error)
            return
        long = None in row
        yield reader.line_num, "it has more cells than the table has columns" if long else row


def _run(row: Mapping[str, object] | str, source: DataSource) -> TaskRun:
    if isinstance(row, str):
        raise ValueError(row)  # noqa: TRY004 - the row is at fault, not the caller
    given, answer = _cell(row, "input"), _cell(row, "output")
    if not given or not answer:
        raise ValueError(f"its {'output' if given else 'input'} is empty")
    stars = row.get("rating")
    rating = None
    if stars is not None and stars != "":
        rating = TaskOutputRating.model_validate({"value": stars})
    reasoning = _cell(row, "reasoning")
    return TaskRun(
        input=given,
        input_source=source,
        output=TaskOutput(output=answer, source=source, rating=rating),
        intermediate_outputs={"reasoning": reasoning} if reasoning else None,
        tags=_tags(row.get("tags")),
    )


def _cell(row: Mapping[str, object], key: str) -> str:
    value = row.get(key)
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(tag) for tag in cast("list[object]", value))
    return tuple(tag for tag in _SEPARATOR.split(str(value or "")) if tag)
