"""The examples of a table's rows, and a preview of what a mapping or a shape makes of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, Protocol

from storage.errors import Refusal
from storage.exchange.columns import BadRow, Row
from storage.exchange.examples import Example
from storage.exchange.mapping import ColumnMapping
from storage.exchange.shapes import SHAPES, Shape, shape_of

NumberedRow = tuple[int, Row | str]
"""A row's number, and the row or what is wrong with it."""

_SAMPLE: Final = 50
"""Rows that a shape is recognised by."""
_MOST_COLUMNS: Final = 100


class _Reader(Protocol):
    def read(self, row: Row, /) -> Example: ...


@dataclass(frozen=True, slots=True)
class TablePreview:
    """What would come of a table.

    Attributes:
        shape: The shape's name; None with a mapping, or if no shape was recognised.
        columns: The keys of the first rows.
        examples: What the first good rows become.
        bad_rows: The first rows that would fail.
        good_count: Rows that would go in.
        bad_count: Rows that would fail.
        without_reference: Good rows without a right output.
    """

    shape: str | None
    columns: tuple[str, ...]
    examples: tuple[Example, ...]
    bad_rows: tuple[BadRow, ...]
    good_count: int
    bad_count: int
    without_reference: int


def examples_of(
    rows: Iterable[NumberedRow], mapping: ColumnMapping | None = None
) -> Iterator[tuple[int, Example | BadRow]]:
    """Return each row's number, and its example or what is wrong with it.

    Raises:
        Refusal: There is no mapping, and no shape is recognised.
    """
    remaining = iter(rows)
    sample = list(islice(remaining, _SAMPLE))
    reader: _Reader | None = mapping or _shape(sample)
    if reader is None and any(isinstance(row, dict) for _, row in sample):
        raise _unknown_shape(_columns(sample))
    for number, row in chain(sample, remaining):
        yield number, _example(number, row, reader)


def preview_of(
    rows: Iterable[NumberedRow], mapping: ColumnMapping | None = None, *, most: int = 5
) -> TablePreview:
    """Return what would come of rows, with the first `most` of each kind.

    Raises:
        Refusal: There is no mapping, and no shape is recognised.
    """
    remaining = iter(rows)
    sample = list(islice(remaining, _SAMPLE))
    shape = None if mapping else _shape(sample)
    examples: list[Example] = []
    bad_rows: list[BadRow] = []
    good_count = bad_count = without_reference = 0
    for _, result in examples_of(chain(sample, remaining), mapping):
        if isinstance(result, BadRow):
            bad_count += 1
            bad_rows += [result] if bad_count <= most else []
        else:
            good_count += 1
            without_reference += result.reference is None
            examples += [result] if good_count <= most else []
    return TablePreview(
        shape.name if shape else None,
        _columns(sample),
        tuple(examples),
        tuple(bad_rows),
        good_count,
        bad_count,
        without_reference,
    )


def _shape(sample: Iterable[NumberedRow]) -> Shape | None:
    return shape_of([row for _, row in sample if not isinstance(row, str)])


def _example(number: int, row: Row | str, reader: _Reader | None) -> Example | BadRow:
    if isinstance(row, str) or reader is None:
        return BadRow(number, str(row))
    try:
        return reader.read(row)
    except ValueError as error:
        return BadRow(number, str(error))


def _columns(sample: Iterable[NumberedRow]) -> tuple[str, ...]:
    keys = dict.fromkeys(key for _, row in sample if not isinstance(row, str) for key in row)
    return tuple(islice(keys, _MOST_COLUMNS))


def _unknown_shape(columns: Iterable[str]) -> Refusal:
    return Refusal(
        "It is not clear which columns hold the inputs and the right outputs; the table has "
        "{columns}. Give a mapping such as {example}. Without one, these are recognised: {shapes}.",
        columns=tuple(columns),
        example='{"input": "question", "output": "answer"}',
        shapes=tuple(shape.name for shape in SHAPES),
    )
