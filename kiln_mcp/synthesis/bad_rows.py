"""The bad rows of a table: the first ones for the answer, all of them in a file of the home."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from storage.exchange import BadRow
from storage.text.excerpts import with_remainder

MOST_NAMED: Final = 500
"""Bad rows that an answer names."""
_LONGEST_NAME: Final = 60


@dataclass(slots=True)
class BadRowList:
    """The bad rows of one table. Only the first ones are kept in memory.

    Attributes:
        folder: Where the file goes that names them all, if they are too many for an answer.
        table: The table's name.
        unit: What the numbers of its rows count.
        first: The first ones.
        count: How many there are.
        file: The file that names them all; None while there is none.
    """

    folder: Path
    table: str
    unit: str
    first: list[str] = field(default_factory=list[str])
    count: int = 0
    file: Path | None = None

    def add(self, rows: Iterable[BadRow]) -> None:
        """Add rows. Blocks."""
        lines = [f"{self.unit} {row.number}: {row.reason}" for row in rows]
        room = MOST_NAMED - len(self.first)
        self.count += len(lines)
        if self.file is None and len(lines) > room:
            self.file = self._new_file()
            self._write(self.first)
        self.first += lines[:room]
        if self.file is not None:
            self._write(lines)

    def sentences(self) -> list[str]:
        """Return the first ones, and how many more there are."""
        return with_remainder(self.first, self.count)

    def _new_file(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f} {self.table[:_LONGEST_NAME]}.bad-rows.txt"
        return self.folder / name

    def _write(self, lines: Iterable[str]) -> None:
        if self.file is not None:
            with self.file.open("a", encoding="utf-8", errors="replace") as file:
                file.writelines(f"{line}\n" for line in lines)
