"""A thread that kills processes whose time is over."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

Process = subprocess.Popen[bytes]


def kill(process: Process) -> None:
    """End a process with all that it started, if the system has process groups."""
    if sys.platform == "win32":
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


class Watchdog:
    """Kills what is overdue. One thread, started when first needed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadlines: dict[int, tuple[float, Process]] = {}
        self._victims: set[int] = set()
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, process: Process, seconds: float) -> Generator[None]:
        """Kill the process unless the block ends in time."""
        deadline = time.monotonic() + seconds
        with self._changed:
            self._victims.discard(process.pid)
            self._deadlines[process.pid] = (deadline, process)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")
                self._thread.start()
            elif deadline < self._wakes_at:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._deadlines.pop(process.pid, None)

    def has_killed(self, process: Process) -> bool:
        """Return whether a process was killed because its time was over."""
        with self._changed:
            return process.pid in self._victims

    def _watch(self) -> None:
        with self._changed:
            while True:
                time_s = time.monotonic()
                for pid, (deadline, process) in list(self._deadlines.items()):
                    if deadline <= time_s:
                        self._victims.add(pid)
                        kill(process)
                        del self._deadlines[pid]
                nearest = min((at for at, _ in self._deadlines.values()), default=math.inf)
                self._wakes_at = nearest
                self._changed.wait(None if nearest == math.inf else nearest - time_s)
