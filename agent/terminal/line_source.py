"""The lines of standard input, read by a thread that nobody has to wait for.

It reads ahead, so that a wait that is given up loses no line, and so that it is known which lines
were typed before a question was shown. It is a daemon and reads without Python's buffer, whose lock
would hold up the end of the program.
"""

import codecs
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import anyio
import anyio.from_thread
import anyio.lowlevel

Read = Callable[[], bytes]
"""Returns the next bytes, waiting for some; nothing at the end."""
_MOST_BYTES: Final = 65536
_MOST_LINES: Final = 1000
"""Above so many lines that wait, nothing more is read."""


def read_stdin() -> bytes:
    """Return the next bytes of standard input."""
    return os.read(sys.stdin.fileno(), _MOST_BYTES)


class LineSource:
    """Lines, one after the other.

    Args:
        read: Reads bytes.
        encoding: How they are text; bytes that are none become a mark of that.
    """

    def __init__(self, read: Read = read_stdin, encoding: str = "utf-8") -> None:
        self._read = read
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._lines: deque[str] = deque()
        self._rest = ""
        self._is_reading = False
        self._has_ended = False
        self._arrival = anyio.Event()

    async def next(self) -> str | None:
        """Return the next line without its end; None at the end of the input."""
        return await self._line_at(0)

    async def next_new(self) -> str | None:
        """Return the next line that comes from now on; those before it stay for `next`."""
        return await self._line_at(len(self._lines))

    async def _line_at(self, place: int) -> str | None:
        while len(self._lines) <= place:
            if self._has_ended:
                return None
            self._begin_read()
            await self._arrival.wait()
        line = self._lines[place]
        del self._lines[place]
        return line

    def _begin_read(self) -> None:
        if self._is_reading or self._has_ended:
            return
        self._is_reading = True
        token = anyio.lowlevel.current_token()

        def run() -> None:
            content = self._bytes()
            try:
                anyio.from_thread.run_sync(self._take, content, token=token)
            except (RuntimeError, anyio.RunFinishedError):  # the program ends meanwhile
                return

        threading.Thread(target=run, name="standard input", daemon=True).start()

    def _bytes(self) -> bytes:
        try:
            return self._read()
        except OSError:  # the terminal is gone
            return b""

    def _take(self, content: bytes) -> None:
        self._rest += self._decoder.decode(content, final=not content)
        *lines, self._rest = self._rest.split("\n")
        if not content:
            self._has_ended = True
            lines, self._rest = [*lines, *([self._rest] if self._rest else [])], ""
        self._lines.extend(line.removesuffix("\r") for line in lines)
        self._is_reading = False
        self._arrival.set()
        self._arrival = anyio.Event()
        if len(self._lines) < _MOST_LINES:
            self._begin_read()
