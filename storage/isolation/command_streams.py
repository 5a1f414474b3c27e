"""The three streams of a command: what it is fed, and what it writes, up to a limit."""

import os
import selectors
import subprocess
from contextlib import suppress
from typing import IO, Final

_PIECE: Final = 65_536
_END_OF_ERRORS: Final = 8192
_GAP: Final = b"\n[...]\n"


class CommandStreams:
    """Feeds a command and collects what it writes, without blocking.

    Args:
        text: Its standard input.
        most_output: Bytes of its standard output that are kept.
    """

    def __init__(self, text: bytes, most_output: int) -> None:
        self._rest = memoryview(text)
        self._most_output = most_output
        self._output = bytearray()
        self._first_errors = bytearray()
        self._last_errors = bytearray()
        self._has_gap = False
        self._input_end: IO[bytes] | None = None
        self._output_end: IO[bytes] | None = None
        self._error_end: IO[bytes] | None = None

    def register(self, selector: selectors.BaseSelector, process: subprocess.Popen[bytes]) -> None:
        """Let a selector tell when a stream of a process is ready."""
        self._input_end, self._output_end = process.stdin, process.stdout
        self._error_end = process.stderr
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                is_input = stream is process.stdin
                events = selectors.EVENT_WRITE if is_input else selectors.EVENT_READ
                selector.register(stream, events)

    def serve(self, selector: selectors.BaseSelector, place: int) -> None:
        """Write to the stream that is ready, or read from it; leave it once it has ended."""
        for stream in (self._input_end, self._output_end, self._error_end):
            if stream is None or stream.closed or stream.fileno() != place:
                continue
            is_over = self._feed() if stream is self._input_end else not self._take(stream)
            if is_over:
                selector.unregister(stream)
                stream.close()

    def drain(self) -> None:
        """Read what is still in the streams of a process that has ended."""
        for stream in (self._output_end, self._error_end):
            if stream is None or stream.closed:
                continue
            with suppress(BlockingIOError):
                while self._take(stream):
                    if self.is_too_long:
                        break

    def close(self) -> None:
        """Close what is open."""
        for stream in (self._input_end, self._output_end, self._error_end):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    @property
    def is_too_long(self) -> bool:
        """Whether the command wrote more than is kept."""
        return len(self._output) > self._most_output

    @property
    def output(self) -> bytes:
        """What it wrote to its standard output."""
        return bytes(self._output)

    @property
    def errors(self) -> bytes:
        """The first and the last bytes that it wrote to its standard error."""
        gap = _GAP if self._has_gap else b""
        return bytes(self._first_errors + gap + self._last_errors)

    def _feed(self) -> bool:
        """Write a piece of the input; return whether nothing is left to write."""
        if self._rest and self._input_end is not None:
            try:
                count = os.write(self._input_end.fileno(), self._rest[:_PIECE])
            except BlockingIOError:
                return False
            except OSError:  # it does not read its input
                return True
            self._rest = self._rest[count:]
        return not self._rest

    def _take(self, stream: IO[bytes]) -> bool:
        """Read a piece; return whether there may be more."""
        piece = os.read(stream.fileno(), _PIECE)
        if stream is self._output_end:
            if not self.is_too_long:
                self._output += piece
        else:
            self._keep_errors(piece)
        return bool(piece)

    def _keep_errors(self, piece: bytes) -> None:
        room = _END_OF_ERRORS - len(self._first_errors)
        self._first_errors += piece[:room]
        self._last_errors += piece[room:]
        if len(self._last_errors) > _END_OF_ERRORS:
            del self._last_errors[:-_END_OF_ERRORS]
            self._has_gap = True
