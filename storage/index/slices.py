"""Query what items are sliced by, and the numbers of their outputs, as columns of the index.

No file is read. Outputs that evals made are no items, and have no slices of their own.
"""

from collections.abc import Mapping
from typing import Final, Literal, LiteralString, NamedTuple, cast, get_args

from storage.index import sql
from storage.index.queries import IndexReader
from storage.index.rows import SqlValue

SliceKind = Literal["tag", "topic", "source", "month", "model"]
"""What items are sliced by."""

SLICE_KINDS: Final[tuple[SliceKind, ...]] = get_args(SliceKind)

_STATEMENTS: Final[Mapping[SliceKind, LiteralString]] = {
    "tag": sql.SLICES_BY_TAG,
    "topic": sql.SLICES_BY_TOPIC,
    "source": sql.SLICES_BY_SOURCE,
    "month": sql.SLICES_BY_MONTH,
    "model": sql.SLICES_BY_MODEL,
}


class ItemSlice(NamedTuple):
    """An item with one of the slices that it lies in."""

    item_id: str
    name: str


class OutputNumbers(NamedTuple):
    """What an item's stored output took; None for what is not known.

    Attributes:
        item_id: The item.
        cost: In US dollars.
        latency_ms: In milliseconds.
        tokens: Input and output together.
    """

    item_id: str
    cost: float | None
    latency_ms: float | None
    tokens: int | None


async def item_slices(index: IndexReader, task: str, kind: SliceKind) -> list[ItemSlice]:
    """Return the slices of a task's items; an item with several tags lies in several."""
    values: dict[str, SqlValue] = {"task": await index.number_of(task), "path": task}
    rows = cast("list[tuple[str, str]]", await index.rows(_STATEMENTS[kind], values))
    return [ItemSlice(*row) for row in rows]


async def output_numbers(index: IndexReader, task: str) -> list[OutputNumbers]:
    """Return what the stored outputs of a task took, of those that say anything."""
    values: dict[str, SqlValue] = {"task": await index.number_of(task)}
    rows = await index.rows(sql.OUTPUT_NUMBERS, values)
    return [
        OutputNumbers(*cast("tuple[str, float | None, float | None, int | None]", row))
        for row in rows
    ]
