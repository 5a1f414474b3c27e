"""One worker process, as its parent sees it."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from pydantic import JsonValue

from storage.isolation.item_limits import WorkerLimits
from storage.isolation.outcomes import Failed, Invalid, Outcome, Value
from storage.isolation.watchdog import Watchdog, kill
from storage.isolation.worker import LARGEST_REPLY, LENGTH

START_S: Final = 60.0
"""The longest that a worker may take to start or to import what a task needs."""
_WORKER: Final = str(Path(__file__).with_name("worker.py"))
Reply = dict[str, JsonValue]
_CRASH: Final = Failed("ended its worker process", "crash")


class WorkerProcess:
    """A process that answers one request at a time. Used by one thread at a time."""

    def __init__(
        self, limits: WorkerLimits, watchdog: Watchdog, prefix: Sequence[str] = ()
    ) -> None:
        """Start the process; it gets no environment and no open files of this one.

        Args:
            limits: Of an item.
            watchdog: Kills it when an item is late.
            prefix: What stands before its command line: a program that confines it.
        """
        self._limits = limits
        self._watchdog = watchdog
        self._tasks: set[str] = set()
        self.answer_count = 0
        self.idle_since = 0.0
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-I", "-X", "utf8", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/" if sys.platform != "win32" else None,
            start_new_session=True,
            bufsize=0,
        )
        settings: dict[str, JsonValue] = {
            "path": list[JsonValue](sys.path),
            "megabytes": limits.megabytes,
        }
        self.is_usable = self._exchange(settings, START_S) == {"ready": True}

    def ask(self, task: str, arguments: Mapping[str, JsonValue], seconds: float) -> Outcome:
        """Run a task; after a breach the worker is no longer usable.

        Args:
            task: Its name in `storage.isolation.worker_tasks`.
            arguments: What it takes.
            seconds: Its limit of time.
        """
        return self.ask_some(task, [arguments], seconds)[0]

    def ask_some(
        self, task: str, items: Sequence[Mapping[str, JsonValue]], seconds: float
    ) -> list[Outcome]:
        """Run a task for the first of some items: one at least, up to the first breach.

        Args:
            task: Its name in `storage.isolation.worker_tasks`.
            items: What it takes, for each item.
            seconds: The limit of time of each item.
        """
        if not self._load(task):
            return [_CRASH]
        request: dict[str, JsonValue] = {
            "task": task,
            "items": [dict(arguments) for arguments in items],
            "seconds": seconds,
        }
        outcomes: list[Outcome] = []
        reply: Reply | None = self._exchange(request, seconds)
        while True:
            outcome = self._outcome(reply, seconds)
            outcomes.append(outcome)
            self.answer_count += 1
            if not self.is_usable or len(outcomes) == len(items):
                return outcomes
            reply = self._next_reply(seconds)
            if reply is not None and "rest" in reply:
                return outcomes

    def _load(self, task: str) -> bool:
        """Let the worker import what a task needs, so that this does not count as its time."""
        if task in self._tasks:
            return True
        request: dict[str, JsonValue] = {"task": task, "items": [None], "seconds": START_S}
        if not self.is_usable or self._exchange(request, START_S) != {"value": None}:
            self.close()
            return False
        self._tasks.add(task)
        return True

    def _exchange(self, request: Mapping[str, JsonValue], seconds: float) -> Reply | None:
        """Send a message and return the first reply; None if the process ended or was killed."""
        try:
            body = json.dumps(request).encode()
        except RecursionError:
            return {"failed": "it is nested too deeply"}
        try:
            with self._watchdog.within(self._process, seconds):
                self._send(LENGTH.pack(len(body)) + body)
                return self._read_reply()
        except (OSError, EOFError, ValueError, RecursionError):  # it ended, or is no longer ours
            return None

    def _next_reply(self, seconds: float) -> Reply | None:
        try:
            with self._watchdog.within(self._process, seconds):
                return self._read_reply()
        except (OSError, EOFError, ValueError, RecursionError):
            return None

    def _read_reply(self) -> Reply | None:
        reply: object = json.loads(self._receive_message())
        return cast("Reply", reply) if isinstance(reply, dict) else None

    def _send(self, message: bytes) -> None:
        view = memoryview(message)
        while view and self._process.stdin is not None:
            view = view[self._process.stdin.write(view) :]

    def _receive_message(self) -> bytes:
        (size,) = LENGTH.unpack(self._receive(LENGTH.size))
        if size > LARGEST_REPLY:
            raise ValueError("the reply is too large")
        return self._receive(size)

    def _receive(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._process.stdout.read(size - len(parts)) if self._process.stdout else b""
            if not part:
                raise EOFError("the worker has ended")
            parts += part
        return bytes(parts)

    def _outcome(self, reply: Reply | None, seconds: float) -> Outcome:
        """Return what a reply says; none, or a breach, ends the process."""
        if reply is None:
            late = self._watchdog.has_killed(self._process)
            self.close()
            return Failed(f"took longer than {seconds:g} s", "time") if late else _CRASH
        match reply:
            case {"failed": _, "breach": "memory"}:
                self.close()
                return Failed(f"needed more than {self._limits.megabytes} MB", "memory")
            case {"failed": str(reason)}:
                return Failed(reason)
            case {"invalid": str(reason)}:
                return Invalid(reason)
            case _:
                return Value(reply.get("value"))

    @property
    def is_alive(self) -> bool:
        """Whether it can answer another request."""
        return self.is_usable and self._process.poll() is None

    def kill(self) -> None:
        """Kill the process with all that it started; the thread that asked it notices."""
        kill(self._process)

    def close(self) -> None:
        """End the process."""
        self.is_usable = False
        kill(self._process)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
