"""The lines of a text file, by their numbers; only their places are kept in memory."""

import re
from array import array
from collections.abc import Sequence
from typing import IO, Final, overload

_CHUNK: Final = 1 << 20
_END = re.compile(rb"\r\n|\n|\r")


class FileLines(Sequence[str]):
    """The lines of a UTF-8 file with their ends, which are those of any system.

    Bytes that are no UTF-8 become lone surrogates.

    Args:
        file: The file.
        begin: The byte that the text begins at.
    """

    def __init__(self, file: IO[bytes], begin: int = 0) -> None:
        self._file = file
        self._begin, self._part = 0, b""
        self.places = _places(file, begin)
        """The byte that each line begins at, and the end."""

    def __len__(self) -> int:
        """Return how many lines there are."""
        return len(self.places) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        """Return a line, or some."""
        if isinstance(place, slice):
            return [self._line(number) for number in range(*place.indices(len(self)))]
        return self._line(place)

    def _line(self, number: int) -> str:
        first, end = self.places[number], self.places[number + 1]
        if first < self._begin or end > self._begin + len(self._part):
            self._file.seek(first)
            self._begin, self._part = first, self._file.read(max(end - first, _CHUNK))
        line = self._part[first - self._begin : end - self._begin]
        return line.decode("utf-8", "surrogateescape")


def _places(file: IO[bytes], begin: int) -> "array[int]":
    file.seek(begin)
    places = array("q", [begin])
    base = begin
    while chunk := file.read(_CHUNK):
        if chunk.endswith(b"\r"):
            chunk += file.read(1)
        places.extend(base + match.end() for match in _END.finditer(chunk))
        base += len(chunk)
    if places[-1] != base:
        places.append(base)
    return places
