"""The merged cells of a sheet: what the first one holds counts for all rows that it spans.

openpyxl's streaming mode passes over them, because they stand behind the rows. So the sheet's part
of the archive is searched for them first.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Final, NamedTuple
from zipfile import ZipFile

from storage.exchange.limits import MOST_ROWS

_CHUNK: Final = 1 << 20
_LONGEST_TAG: Final = 1 << 12
_MERGED = re.compile(
    rb"<(?:\w+:)?mergeCell\s[^>]*?\bref=\"([A-Z]{1,3})(\d{1,7}):[A-Z]{1,3}(\d{1,7})\""
)
_LETTERS: Final = 26


class MergedCell(NamedTuple):
    """A cell that spans several rows.

    Attributes:
        first: Its first row.
        last: Its last row.
        column: Its first column, from 0.
    """

    first: int
    last: int
    column: int


def merged_cells(file: IO[bytes], part: str) -> list[MergedCell]:
    """Return the cells of a sheet that span several rows, in the order of their first rows.

    Args:
        file: The spreadsheet.
        part: The sheet's place in the archive.
    """
    cells: list[MergedCell] = []
    with ZipFile(file) as archive, archive.open(part) as sheet:
        text = b""
        while chunk := sheet.read(_CHUNK):
            text += chunk
            end = 0
            for match in _MERGED.finditer(text):
                end, (name, first, last) = match.end(), match.groups()
                if int(last) > int(first) and len(cells) < MOST_ROWS:
                    cells.append(MergedCell(int(first), int(last), _column(name.decode())))
            text = text[max(end, len(text) - _LONGEST_TAG) :]
    return sorted(cells)


def _column(name: str) -> int:
    number = 0
    for letter in name:
        number = number * _LETTERS + ord(letter) - ord("A") + 1
    return number - 1


@dataclass(slots=True)
class MergedValues:
    """Gives rows the values of the merged cells that they lie in. Rows come in their order.

    Args:
        cells: The merged cells in the order of their first rows; those of the header are none.
    """

    cells: Iterable[MergedCell]
    _waiting: list[MergedCell] = field(init=False)
    _open: dict[int, tuple[int, object]] = field(
        init=False, default_factory=dict[int, tuple[int, object]]
    )

    def __post_init__(self) -> None:
        self._waiting = list(self.cells)[::-1]

    def fill(self, number: int, header: list[str], row: Mapping[str, object]) -> dict[str, object]:
        """Return a row with the values of the merged cells that began above it.

        Args:
            number: The row's number.
            header: The names of the columns.
            row: Its own values.
        """
        self._open = {place: entry for place, entry in self._open.items() if entry[0] >= number}
        filled_row = dict(row)
        for place, (_, value) in self._open.items():
            if filled_row.get(header[place]) is None:
                filled_row[header[place]] = value
        while self._waiting and self._waiting[-1].first <= number:
            cell = self._waiting.pop()
            if cell.first == number and cell.column < len(header):
                self._open[cell.column] = (cell.last, row.get(header[cell.column]))
        return filled_row
