"""Run a command with limits of time, memory, processes, output and space.

A supervisor (`launcher`) starts the command and ends all that it started: when it ends, passes a
limit, is cancelled, or when this process is killed. What the command may reach is its
`Confinement`; without one it has the rights of the person.
"""

import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, cast

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from storage.isolation.bubblewrap import bubblewrap_prefix
from storage.isolation.command_streams import CommandStreams
from storage.isolation.confinement import Confinement
from storage.isolation.outcomes import Failed
from storage.isolation.scratch import is_larger, scratch_folder

_LAUNCHER: Final = str(Path(__file__).with_name("launcher.py"))
_LEASH: Final = str(Path(__file__).with_name("leash.py"))
_ROOT: Final = str(Path(__file__).parents[2])
_MOST_AT_ONCE: Final = 64
_TICK_S: Final = 0.1
_GRACE_S: Final = 10.0
_START_S: Final = 10.0
"""What a supervisor may take beside the command: to end all processes, and to start."""
_PIECE: Final = 65_536
_waiting: Final = RunVar[anyio.CapacityLimiter]("isolation_commands")
_computing: Final = RunVar[anyio.CapacityLimiter]("isolation_scratch_commands")


@dataclass(frozen=True, slots=True)
class CommandLimits:
    """How much a command may take.

    Attributes:
        seconds: By the wall clock.
        megabytes: Of memory, all its processes together (Linux); None for no limit.
        processes: At once (Linux); None for no limit.
        output_bytes: Of its standard output.
        folder_bytes: What its folder may hold; None for no limit.
    """

    seconds: float = 10.0
    megabytes: int | None = 2048
    processes: int | None = 64
    output_bytes: int = 4 * 1024 * 1024
    folder_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments; no shell reads them.

    Attributes:
        arguments: The program's name or path, and what follows.
        folder: Its current folder.
        input: Its standard input.
        environment: All of its environment; programs are looked for in its PATH.
        limits: How much it may take.
        confinement: What it may reach; None for all that the person may.
    """

    arguments: tuple[str, ...]
    folder: Path
    input: bytes = b""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: CommandLimits = field(default_factory=CommandLimits)
    confinement: Confinement | None = None


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended within its limits.

    Attributes:
        exit_code: What it ended with; -N if signal N ended it.
        output: Its whole standard output.
        errors: The first and the last 8 KiB of its standard error.
        seconds: From its start to its end.
    """

    exit_code: int
    output: bytes
    errors: bytes
    seconds: float


async def run_command(command: Command) -> CommandResult | Failed:
    """Run a command to its end without blocking the event loop; a cancellation ends it at once."""
    return await _in_thread(partial(run_and_wait, command), _limiter(_waiting, _MOST_AT_ONCE))


async def run_in_scratch(prepare: Callable[[Path], Command]) -> CommandResult | Failed:
    """Run a command in a scratch folder, as many at once as there are cores.

    Args:
        prepare: Called in a thread: puts into the empty folder what the command needs.
    """

    def work(stop: threading.Event) -> CommandResult | Failed:
        with scratch_folder() as folder:
            return run_and_wait(prepare(folder), stop)

    return await _in_thread(work, _limiter(_computing, os.cpu_count() or 1))


async def _in_thread(
    work: Callable[[threading.Event], CommandResult | Failed], limiter: anyio.CapacityLimiter
) -> CommandResult | Failed:
    stop = threading.Event()
    try:
        return await anyio.to_thread.run_sync(
            partial(work, stop), limiter=limiter, abandon_on_cancel=True
        )
    finally:
        stop.set()


def _limiter(place: RunVar[anyio.CapacityLimiter], size: int) -> anyio.CapacityLimiter:
    """Return this event loop's own threads."""
    limiter = place.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(size)
        place.set(limiter)
    return limiter


def run_and_wait(command: Command, stop: threading.Event | None = None) -> CommandResult | Failed:
    """Run a command and block until it and all that it started have ended.

    Args:
        command: What to run.
        stop: Ends it once it is set.
    """
    if sys.platform == "win32":
        return Failed("cannot be run on Windows")
    program = _find_program(command)
    if program is None:
        return Failed(f"cannot be started: there is no program {command.arguments[0]!r}")
    with _Supervisor(command, program) as supervisor:
        return supervisor.watch(stop or threading.Event())


def leash_command(command: Sequence[str]) -> Sequence[str]:
    """Return a command that ends with this process, for those who start it by themselves."""
    return (sys.executable, "-I", "-S", _LEASH, str(os.getpid()), *command)


def _find_program(command: Command) -> str | None:
    """Return the path of the program; a name with a slash counts from the command's folder."""
    name = command.arguments[0]
    if os.sep in name:
        name = str(command.folder / name)
    return shutil.which(name, path=command.environment.get("PATH", ""))


class _Supervisor:
    """The process that runs a command, as this one sees it."""

    def __init__(self, command: Command, program: str) -> None:
        self._command = command
        self._begun_at = time.monotonic()
        self._deadline = self._begun_at + command.limits.seconds
        self._streams = CommandStreams(command.input, command.limits.output_bytes)
        self._failure: Failed | None = None
        self._control, theirs = socket.socketpair()
        prefix = bubblewrap_prefix(command.confinement) if command.confinement else ()
        try:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-I", "-S", _LAUNCHER, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                env={},
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError:
            self._control.close()
            raise
        finally:
            theirs.close()
        self._control.settimeout(_START_S)
        with suppress(OSError):  # it ended at once, which its missing report says
            self._control.sendall(json.dumps(_settings(command, program)).encode() + b"\n")

    def __enter__(self) -> "_Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        """Let the supervisor end the command; kill it if it does not."""
        self._control.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._streams.close()

    def watch(self, stop: threading.Event) -> CommandResult | Failed:
        """Feed the command and read from it until it has ended; return how."""
        self._control.setblocking(False)
        with selectors.DefaultSelector() as selector:
            self._streams.register(selector, self._process)
            selector.register(self._control, selectors.EVENT_READ)
            while time.monotonic() < self._deadline + _GRACE_S:
                for key, _ in selector.select(_TICK_S):
                    if key.fileobj is self._control:
                        return self._outcome()
                    self._streams.serve(selector, key.fd)
                if self._failure is None:
                    self._failure = self._breach(stop)
                    if self._failure is not None:
                        self._end()
        return self._failure or Failed("ended its supervisor", "crash")

    def _end(self) -> None:
        """Ask the supervisor to end the command, and wait for its report a little longer."""
        self._deadline = time.monotonic()
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def _breach(self, stop: threading.Event) -> Failed | None:
        limits = self._command.limits
        if stop.is_set():
            return Failed("was cancelled")
        if time.monotonic() >= self._deadline:
            return Failed(f"took longer than {limits.seconds:g} s", "time")
        if self._streams.is_too_long:
            return Failed(f"wrote more than {limits.output_bytes} bytes", "output")
        space = limits.folder_bytes
        if space is not None and is_larger(self._command.folder, space):
            return Failed(f"wrote more than {space // 2**20} MB of files", "space")
        return None

    def _outcome(self) -> CommandResult | Failed:
        """Return how the command ended, as the supervisor reports it."""
        seconds = time.monotonic() - self._begun_at
        report = self._report()
        self._streams.drain()
        if self._failure is not None:
            return self._failure
        limits = self._command.limits
        if self._streams.is_too_long:
            return Failed(f"wrote more than {limits.output_bytes} bytes", "output")
        match report:
            case {"breach": "processes"}:
                return Failed(f"started more than {limits.processes} processes", "processes")
            case {"breach": "memory"}:
                return Failed(f"needed more than {limits.megabytes} MB", "memory")
            case {"fault": str(fault)} if fault:
                return Failed(f"cannot be started: {fault}")
            case {"status": int(status)}:
                output, errors = self._streams.output, self._streams.errors
                return CommandResult(status, output, errors, seconds)
            case _:
                return Failed("ended its supervisor", "crash")

    def _report(self) -> Mapping[str, object]:
        """Return what the supervisor says at its end; nothing if it was killed."""
        self._control.settimeout(_START_S)
        message = bytearray()
        try:
            while part := self._control.recv(_PIECE):
                message += part
            return cast("Mapping[str, object]", json.loads(message))
        except (OSError, ValueError):
            return {}


def _settings(command: Command, program: str) -> Mapping[str, object]:
    confinement = command.confinement
    return {
        **asdict(command.limits),
        "root": _ROOT,
        "program": program,
        "arguments": command.arguments,
        "environment": dict(command.environment),
        "folder": str(command.folder),
        "confinement": None if confinement is None else asdict(confinement),
    }
