"""Run a program of the person's own: with limits of time and output, and without orphans.

The program runs as its user, in a process group of its own, below `leash.py`. The group is killed
at the end of its time, if it writes too much, if the caller is cancelled, and if this process is
killed. What it leaves running when it ends is killed too.
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Literal

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

LEASH: Final = str(Path(__file__).with_name("leash.py"))
LONGEST_TAIL: Final = 16 * 1024
"""Bytes of the error stream that are kept, from its end."""
_PIECE: Final = 64 * 1024
_MOST_AT_ONCE: Final = 64
_threads: Final = RunVar[anyio.CapacityLimiter]("program_threads")

Breach = Literal["time", "output"]


@dataclass(frozen=True, slots=True)
class ProgramCall:
    """One run of a program.

    Attributes:
        command: The command and its arguments; no shell reads them.
        folder: Where it runs.
        environment: All variables that it gets.
        input: What its standard input holds.
        seconds: Its limit of time.
        largest_output: Its limit of output, in bytes.
    """

    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    input: bytes = b""
    seconds: float = 60.0
    largest_output: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProgramEnd:
    """How a run of a program ended.

    Attributes:
        output: What it wrote.
        errors: The end of its error stream.
        exit_code: 0 for success; None if it was killed for a breach.
        breach: The limit that it passed; None if it kept to them.
        seconds: How long it took.
    """

    output: bytes
    errors: bytes
    exit_code: int | None
    breach: Breach | None
    seconds: float


async def run_program(call: ProgramCall) -> ProgramEnd:
    """Run a program without blocking the event loop; kill it if the caller is cancelled.

    Raises:
        OSError: It could not be started.
    """
    if sys.platform == "win32":
        raise OSError("programs under test run on Linux and macOS alone")
    process = _Process(call)
    work = process.run
    try:
        return await anyio.to_thread.run_sync(work, limiter=_limiter(), abandon_on_cancel=True)
    finally:
        process.kill()


def _limiter() -> anyio.CapacityLimiter:
    """Return this event loop's own threads, so that slow programs take none of the others."""
    limiter = _threads.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(_MOST_AT_ONCE)
        _threads.set(limiter)
    return limiter


class _Process:
    """A program while it runs. `run` is called once; `kill` by any thread."""

    def __init__(self, call: ProgramCall) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._is_over = False
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> ProgramEnd:
        """Run it to its end.

        Raises:
            OSError: It could not be started.
        """
        started = time.monotonic()
        own, other = socket.socketpair()
        with own:
            with other:
                process = self._start(other)
            streams = _Streams(self._call, own, process)
            try:
                breach = streams.exchange(started + self._call.seconds)
            finally:
                self.kill()
                process.wait()
                streams.close()
        return ProgramEnd(
            output=bytes(streams.output),
            errors=bytes(streams.errors),
            exit_code=None if breach else process.returncode,
            breach=breach,
            seconds=time.monotonic() - started,
        )

    def _start(self, leash: socket.socket) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_over:
                raise InterruptedError("it was cancelled before it began")
            self._process = subprocess.Popen(
                _leash_command(self._call.command, f"socket:{leash.fileno()}"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._call.folder,
                env=dict(self._call.environment),
                pass_fds=(leash.fileno(),),
                start_new_session=True,
                bufsize=0,
            )
            return self._process

    def kill(self) -> None:
        """End the program with all that it started, unless that is done."""
        with self._lock:
            self._is_over = True
            process, self._process = self._process, None
            if process is not None and process.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)


def leash_command(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command that ends with this process, for those who start it by themselves."""
    return _leash_command(command, f"parent:{os.getpid()}")


def _leash_command(command: tuple[str, ...], parent: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", LEASH, parent, *command)


class _Streams:
    """The streams of a running program."""

    def __init__(
        self, call: ProgramCall, leash: socket.socket, process: "subprocess.Popen[bytes]"
    ) -> None:
        self.output = bytearray()
        self.errors = bytearray()
        self._call = call
        self._leash = leash
        self._input = memoryview(call.input)
        self._selector = selectors.DefaultSelector()
        self._streams = [process.stdin, process.stdout, process.stderr]
        self._in, self._out, self._err = (
            stream.fileno() if stream else -1 for stream in self._streams
        )

    def exchange(self, deadline: float) -> Breach | None:
        """Write and read until the program has ended; return the limit that it passed."""
        self._selector.register(self._leash, selectors.EVENT_READ)
        self._selector.register(self._in, selectors.EVENT_WRITE)
        for descriptor in (self._out, self._err):
            self._selector.register(descriptor, selectors.EVENT_READ)
        for descriptor in (self._in, self._out, self._err):
            os.set_blocking(descriptor, False)
        while (rest := deadline - time.monotonic()) > 0:
            for key, _ in self._selector.select(rest):
                if key.fileobj is self._leash:
                    return self._drain()
                if key.fd == self._in:
                    self._write()
                    continue
                with suppress(BlockingIOError):
                    if not self._read(key.fd):
                        self._selector.unregister(key.fd)
            if self._is_too_long:
                return "output"
        return "time"

    @property
    def _is_too_long(self) -> bool:
        return len(self.output) > self._call.largest_output

    def _write(self) -> None:
        """Write some of the input; close the stream at its end, or if the program does not read."""
        with suppress(BlockingIOError):
            try:
                self._input = self._input[os.write(self._in, self._input[:_PIECE]) :]
            except BrokenPipeError:
                self._input = self._input[:0]
        if not self._input:
            self._selector.unregister(self._in)
            self._close(self._streams[0])

    def _read(self, descriptor: int) -> int:
        """Read a piece of a stream; return its size, 0 at the end.

        Raises:
            BlockingIOError: There is nothing to read now.
        """
        piece = os.read(descriptor, _PIECE)
        if descriptor == self._out:
            self.output += piece
        else:
            self.errors += piece
            del self.errors[:-LONGEST_TAIL]
        return len(piece)

    def _drain(self) -> Breach | None:
        """Read what the streams hold after the program's end."""
        for descriptor in (self._out, self._err):
            with suppress(BlockingIOError):
                while self._read(descriptor) and not self._is_too_long:
                    pass
        return "output" if self._is_too_long else None

    def close(self) -> None:
        """Close all streams."""
        self._selector.close()
        for stream in self._streams:
            self._close(stream)

    @staticmethod
    def _close(stream: IO[bytes] | None) -> None:
        if stream is not None and not stream.closed:
            with suppress(OSError):
                stream.close()
