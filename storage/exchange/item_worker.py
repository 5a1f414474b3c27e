"""The process that reads the items of a long table; its parent is `item_process`."""

import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, cast

from pydantic import JsonValue

from storage.child_process import open_replies, send_message
from storage.exchange.column_map import ColumnMapping
from storage.exchange.columns import BadRow
from storage.exchange.example_table import example_table
from storage.exchange.item_keys import ItemKeys
from storage.exchange.item_records import ItemOrigin, NewItem, RecordMaker
from storage.exchange.item_table import Contradictions, ItemTable, Survey
from storage.exchange.table_source import TableOptions, open_source
from storage.records import Task

_ROWS: Final = 1000
"""Rows of one message."""


@dataclass(frozen=True, slots=True)
class ItemRequest:
    """What is needed to read the items of a table.

    Attributes:
        place: The table's file.
        options: How it is read.
        mapping: The mapping that was asked for.
        task: The task.
        origin: Where the items come from, with the fingerprint of the file.
        rule: What is done with contradictions.
        survey: What the first reading told.
        known_items: The items of the dataset.
    """

    place: Path
    options: TableOptions
    mapping: ColumnMapping | None
    task: Task
    origin: ItemOrigin
    rule: Contradictions
    survey: Survey
    known_items: ItemKeys


def main() -> None:
    """Write the items of the table that the input asks for."""
    request = cast("ItemRequest", pickle.load(sys.stdin.buffer))
    replies = open_replies()
    for message in messages_of(request):
        send_message(replies, message)


def messages_of(request: ItemRequest) -> Iterator[JsonValue]:
    """Yield the rows of a table, a thousand in a message, and then what was counted meanwhile.

    The last message is empty if the file is another one than its fingerprint says.
    """
    with open_source(request.place, request.options) as source:
        if source.digest != request.origin.digest:
            yield {}
            return
        table = ItemTable(
            example_table(source, request.mapping),
            RecordMaker(request.task, request.origin),
            request.known_items,
            request.rule,
            request.survey,
        )
        rows = iter(table)
        while batch := list(islice(rows, _ROWS)):
            yield [_entry(number, row) for number, row in batch]
        yield {
            "repeats": table.repeats,
            "without_output": table.without_output,
            "merge_count": table.merge_count,
            "contradiction_count": table.contradiction_count,
            "contradictions": [
                [key, contradiction.input, dict(contradiction.references)]
                for key, contradiction in table.contradictions.items()
            ],
        }


def _entry(number: int, row: NewItem | BadRow) -> JsonValue:
    """Return a row as JSON: its number, and what is wrong with it, or its record.

    A record comes as its file's text, with its values in the index.
    """
    if isinstance(row, BadRow):
        return [number, row.number, row.reason]
    new = row.record
    text, values = new.content.decode("utf-8"), cast("JsonValue", new.values)
    return [number, new.kind.type_name(), text, list(row.feedback), row.original_id, values]
