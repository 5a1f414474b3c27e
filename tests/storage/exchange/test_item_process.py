"""The rows of a long table are the same whichever process reads them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from storage import Task
from storage.errors import Refusal
from storage.exchange import (
    BadRow,
    Contradictions,
    ItemKeys,
    ItemTable,
    NewItem,
    RecordMaker,
    TableOptions,
    example_table,
    open_source,
    survey_of,
)
from storage.exchange.item_process import rows_of
from storage.exchange.item_worker import ItemRequest, messages_of
from storage.records import EvalInput, TaskRun
from table_items import origin_of

LINES = [
    {"input": "one?", "output": "1", "tags": ["ü"], "feedback": "good"},
    {"input": "one?", "output": "1"},
    {"input": "two?", "output": "2"},
    {"input": "two?", "output": "3"},
    {"input": "", "output": "4"},
    {"input": {"key": ["a"]}, "output": {"b": 1}},
]


def table_file(folder: Path, lines: Sequence[object]) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def table_and_request(file: Path) -> tuple[ItemTable, ItemRequest]:
    """Return a table of which nothing but the first reading is done, and how to read it again."""
    task = Task(id="1" * 12, name="T", instruction="I")
    with open_source(file) as source:
        origin = origin_of(source.file_name, source.digest)
        examples = example_table(source)
        maker = RecordMaker(task, origin)
        survey = survey_of(examples, maker)
        rule, known = Contradictions.LEAVE_OUT, ItemKeys()
        table = ItemTable(examples, maker, known, rule, survey)
    return table, ItemRequest(file, TableOptions(), None, task, origin, rule, survey, known)


def told(rows: Iterator[tuple[int, NewItem | BadRow]]) -> list[tuple[object, ...]]:
    """Return the rows without what differs at each reading."""
    result: list[tuple[object, ...]] = []
    for number, row in rows:
        if isinstance(row, BadRow):
            result.append((number, row.number, row.reason))
        else:
            record = row.record.record
            content = TaskRun if isinstance(record, TaskRun) else EvalInput
            assert content.model_validate_json(row.record.content).tags == record.tags
            result.append((number, record.id, record.tags, row.feedback, row.original_id))
    return result


def counts(table: ItemTable) -> tuple[object, ...]:
    return (table.repeats, table.without_output, table.contradiction_count, table.contradictions)


@pytest.mark.slow
def test_another_process_reads_the_rows_and_the_counts_that_this_one_does(tmp_path: Path) -> None:
    file = table_file(tmp_path, LINES)
    table, request = table_and_request(file)
    with rows_of(request, table) as rows:
        elsewhere = told(rows)
    own, _ = table_and_request(file)
    with open_source(file) as source:
        here = ItemTable(
            example_table(source), own.maker, ItemKeys(), Contradictions.LEAVE_OUT, own.survey
        )
        assert told(iter(here)) == elsewhere
    assert counts(here) == counts(table)
    assert (len(elsewhere), table.repeats, table.contradiction_count) == (3, 1, 2)


@pytest.mark.slow
def test_a_process_that_ends_before_its_last_row_is_said_with_what_to_do(tmp_path: Path) -> None:
    file = table_file(tmp_path, LINES)
    table, request = table_and_request(file)
    file.unlink()
    with rows_of(request, table) as rows, pytest.raises(Refusal, match="Add the file again"):
        next(rows)


def test_a_file_that_changes_between_two_readings_gives_no_row(tmp_path: Path) -> None:
    file = table_file(tmp_path, LINES)
    _, request = table_and_request(file)
    table_file(tmp_path, LINES[1:])
    assert list(messages_of(request)) == [{}]


def test_rows_come_a_thousand_in_a_message(tmp_path: Path) -> None:
    lines = [{"input": f"{place}?", "output": "o"} for place in range(1100)]
    _, request = table_and_request(table_file(tmp_path, lines))
    *batches, last = messages_of(request)
    assert [len(cast("list[object]", batch)) for batch in batches] == [1000, 100]
    assert isinstance(last, dict)
