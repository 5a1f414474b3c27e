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
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MOST_DELAYED: Final = 10
"""Where the machine is busy, an item ends after this many times its limit at the latest."""

Process = subprocess.Popen[bytes]


def kill(process: Process) -> None:
    """End a process with all that it started, if the system has process groups."""
    if sys.platform == "win32":
        process.kill()
        return
    with suppress(ProcessLookupError, PermissionError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class _Limit:
    """What a process has, and since when.

    Attributes:
        process: The process.
        began_s: When, on the monotonic clock.
        seconds: How long it may take.
        delay_s: How long it had waited for a processor by then.
    """

    process: Process
    began_s: float
    seconds: float
    delay_s: float

    def deadline_s(self) -> float:
        """Return when it is overdue: later by the time in which it got no processor."""
        waited_s = max(0.0, _delay_s(self.process.pid) - self.delay_s)
        return self.began_s + min(self.seconds + waited_s, self.seconds * _MOST_DELAYED)


def _delay_s(pid: int) -> float:
    """Return how long a process waited for a processor in all; 0 where Linux does not tell it.

    The second number of /proc/PID/schedstat: Documentation/scheduler/sched-stats.rst.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class Watchdog:
    """Kills what is overdue. One thread, started when first needed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadlines: dict[int, tuple[float, _Limit]] = {}
        self._victims: set[int] = set()
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, process: Process, seconds: float) -> Generator[None]:
        """Kill the process unless the block ends in time."""
        limit = _Limit(process, time.monotonic(), seconds, _delay_s(process.pid))
        deadline = limit.began_s + seconds
        with self._changed:
            self._victims.discard(process.pid)
            self._deadlines[process.pid] = (deadline, limit)
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
                for pid, (deadline, limit) in list(self._deadlines.items()):
                    if deadline <= time_s:
                        self._end_or_extend(pid, limit, time_s)
                nearest = min((at for at, _ in self._deadlines.values()), default=math.inf)
                self._wakes_at = nearest
                self._changed.wait(None if nearest == math.inf else nearest - time_s)

    def _end_or_extend(self, pid: int, limit: _Limit, time_s: float) -> None:
        deadline = limit.deadline_s()
        if deadline > time_s:
            self._deadlines[pid] = (deadline, limit)
            return
        self._victims.add(pid)
        kill(limit.process)
        del self._deadlines[pid]
