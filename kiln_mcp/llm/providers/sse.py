"""Server-sent events, read from bytes that were cut anywhere.

Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream".
"""

from collections.abc import Iterator

_ENDS = (b"\r", b"\n")


class EventReader:
    """Finds the data of events in a stream of bytes; comments, which keep it open, are skipped."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[str] = []
        self._after_return = False

    def feed(self, piece: bytes) -> Iterator[str]:
        """Take the next bytes; yield the data of every event that they end."""
        for line in piece.splitlines(keepends=True):
            if self._after_return and line == b"\n":  # the second half of a line's end
                self._after_return = False
                continue
            self._line += line
            self._after_return = line.endswith(b"\r")
            if line.endswith(_ENDS):
                yield from self._take()

    def end(self) -> Iterator[str]:
        """Yield the data of an event that the stream's end cut off before its empty line."""
        self._line += b"\n"
        yield from self._take()
        self._line += b"\n"
        yield from self._take()

    def _take(self) -> Iterator[str]:
        line = self._line.decode("utf-8", "replace").rstrip("\r\n")
        self._line.clear()
        if line:
            field, _, value = line.partition(":")
            if field == "data":
                self._data.append(value.removeprefix(" "))
        elif self._data:
            yield "\n".join(self._data)
            self._data.clear()
