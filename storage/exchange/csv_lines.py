"""Rows of CSV text, in which an unclosed quote costs its own row alone.

Such a quote swallows the lines after it, up to the next quote or to the end. If those lines look
like rows of their own, only the line with the quote is dropped. To find out, lines are read again.
After too many of these the rest of the table is read without the check.
"""

import csv
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_FITTING_TO_ONE: Final = 9
"""How many lines must look like rows for each that does not: prose seldom has so many."""
_READ_AGAIN: Final = 20
"""How often the whole text may be read again; more would let a table cost its length squared."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row as it stands: its lines from `first` up to `end`, and its cells or what is wrong."""

    first: int
    end: int
    cells: Sequence[str]
    fault: str | None


@dataclass(frozen=True, slots=True)
class CsvLines:
    """The lines of a table, and how they are read.

    Attributes:
        lines: With their ends; the first has the names of the columns.
        places: What comes before each line, and before the end, in bytes.
        delimiter: The sign between cells.
        width: How many columns there are.
        least_cells: How many cells a row needs to be of any use.
        lines_before: How many lines of the file come before these.
    """

    lines: Sequence[str]
    places: Sequence[int]
    delimiter: str
    width: int
    least_cells: int
    lines_before: int

    def rows(self) -> Iterator[tuple[int, Sequence[str] | str]]:
        """Return each row's first line in the file and its cells, or what is wrong with it."""
        rest = _READ_AGAIN * self.places[-1]
        start: int | None = 0
        while start is not None:
            restart = yield from self._rows_until_misread(start, rest)
            start, rest = restart or (None, 0)

    def _rows_until_misread(
        self, start: int, rest: int
    ) -> Generator[tuple[int, Sequence[str] | str], None, tuple[int, int] | None]:
        """Return rows from a line on, and at last where to begin again; None at the end.

        Args:
            start: The line.
            rest: How many bytes may be read again; what is left of them is returned.
        """
        for row in self._parse(start, len(self.lines)):
            is_long = row.end > row.first + 1
            is_usable = self.least_cells <= len(row.cells) <= self.width
            length = self.places[row.end] - self.places[row.first]
            number = self.lines_before + row.first + 1
            if is_long and not is_usable and length <= rest:
                rest -= length
                if self._swallows_rows(row):
                    yield number, "it is no CSV (a quote in it is not closed)"
                    return row.first + 1, rest
            if row.fault is None:
                yield number, row.cells
            elif is_long:
                line_range = f"lines {number} to {self.lines_before + row.end}"
                fault = f"it is no CSV ({row.fault}); {line_range} of the file could not be read"
                yield number, fault
            else:
                yield number, f"it is no CSV ({row.fault})"
        return None

    def _swallows_rows(self, row: _Row) -> bool:
        """Whether the first of its lines looks like a row, and nearly all others are rows."""
        if self.lines[row.first].count(self.delimiter) < self.width - 1:
            return False
        fitting = misfits = 0
        for inner in self._parse(row.first + 1, row.end):
            text = "".join(self.lines[inner.first : inner.end])
            if len(inner.cells) == self.width and self._quotes_are_in_order(text):
                fitting += 1
            elif text.strip() and not (inner.fault and inner.end == row.end):
                misfits += 1  # the last may go on after these lines
        return fitting > _FITTING_TO_ONE * misfits

    def _quotes_are_in_order(self, text: str) -> bool:
        """Whether quotes come in pairs, each beside a cell's border or another quote."""
        beside = rf"[\r\n\"{re.escape(self.delimiter)}]"
        stray = re.search(rf"(?<!^)(?<!{beside})\"(?!$)(?!{beside})", text)
        return text.count('"') % 2 == 0 and stray is None

    def _parse(self, start: int, end: int) -> Iterator[_Row]:
        lines = map(self.lines.__getitem__, range(start, end))
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        while True:
            first = start + reader.line_num
            cells, fault = list[str](), None
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                fault = str(error)
            yield _Row(first, start + reader.line_num, cells, fault)
