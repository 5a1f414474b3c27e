"""The items of a long table, read in a process of their own while this one saves them."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final, cast

from pydantic import JsonValue

from storage.child_process import ChildProcess, child_process
from storage.errors import Refusal
from storage.exchange.columns import BadRow
from storage.exchange.item_records import NewItem, NewItemRecord
from storage.exchange.item_table import Contradiction, ItemTable
from storage.exchange.item_worker import ItemRequest
from storage.index.rows import values_of_message
from storage.new_records import NewRecord
from storage.records import EvalInput, TaskRun

LONG: Final = 5000
"""Rows from which a process of their own is worth its start."""
Rows = Iterator[tuple[int, NewItem | BadRow]]


@contextmanager
def rows_of(request: ItemRequest, table: ItemTable) -> Generator[Rows]:
    """Read the rows of a table in a process of their own, which ends with the block.

    Args:
        request: The table.
        table: The same table here; it gets what the other process has counted, after the last row.

    Yields:
        Each row's number, and its new item or what is wrong with it. Reading it blocks, and raises
        a Refusal if the table was changed meanwhile.
    """
    with child_process("storage.exchange.item_worker") as child:
        yield _rows(child, request, table)


def _rows(child: ChildProcess, request: ItemRequest, table: ItemTable) -> Rows:
    try:
        child.send(request)
        while isinstance(message := child.receive(), list):
            yield from map(_row, message)
    except (OSError, EOFError) as error:
        raise _reading_error(request, "the process that reads it has ended") from error
    if not isinstance(message, dict) or not message:
        raise _reading_error(request, "the file was changed")
    _take_in(message, table)


def _row(entry: JsonValue) -> tuple[int, NewItem | BadRow]:
    """Return a row of a message; see `item_worker`."""
    number, second, third, *rest = cast("tuple[int, int | str, str, *tuple[JsonValue, ...]]", entry)
    if not isinstance(second, str):
        return number, BadRow(second, third)
    feedback, original_id, fields = cast("tuple[list[str], str | None, list[object]]", rest)
    content, values = third.encode("utf-8"), values_of_message(fields)
    new: NewItemRecord
    if second == TaskRun.type_name():
        new = NewRecord[TaskRun].of_values(TaskRun, content, values)
    else:
        new = NewRecord[EvalInput].of_values(EvalInput, content, values)
    return number, NewItem(new, tuple(feedback), original_id)


def _take_in(counts: dict[str, JsonValue], table: ItemTable) -> None:
    table.repeats = cast("int", counts["repeats"])
    table.without_output = cast("int", counts["without_output"])
    table.merge_count = cast("int", counts["merge_count"])
    table.contradiction_count = cast("int", counts["contradiction_count"])
    contradictions = cast("list[tuple[int, str, dict[str, str]]]", counts["contradictions"])
    for key, text, references in contradictions:
        table.contradictions[key] = Contradiction(text, references)


def _reading_error(request: ItemRequest, reason: str) -> Refusal:
    return Refusal(
        "{file} was not read to its end: {reason}. The items before are saved. Add the file again: "
        "what is there is not added twice.",
        file=request.place,
        reason=reason,
    )
