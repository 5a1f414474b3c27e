"""How long, since when and how often: by clocks that nobody can set."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio

from kiln_mcp.jobs.progress import Course
from kiln_mcp.jobs.records import Job, Progress

SILENCE_S: Final = 10.0
REPORT_EVERY_S: Final = 0.25


class Silence:
    """Which jobs have shown no sign of life for long, by this process's own clock."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[Job, float]] = {}

    def of(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those of these jobs that are as they were for long."""
        now = time.monotonic()
        before = self._heard
        self._heard = {
            job.id: before[job.id] if job.id in before and before[job.id][0] == job else (job, now)
            for job in jobs
        }
        return [job for job, heard in self._heard.values() if now - heard >= SILENCE_S]


class Stopwatch:
    """For how long a job was worked at, by a clock that nobody can set."""

    def __init__(self, before: float) -> None:
        self._before = before
        self._started: float | None = None

    def start(self) -> None:
        """Begin to count."""
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """All seconds so far."""
        now = 0.0 if self._started is None else time.monotonic() - self._started
        return self._before + now


class Reporter:
    """Writes progress at most every quarter of a second, and what is left at the end."""

    def __init__(self, before: Progress, write: Callable[[Progress], Awaitable[None]]) -> None:
        """Set up.

        Args:
            before: How far earlier attempts came.
            write: Keeps progress.
        """
        self._course = Course(before)
        self._write = write
        self._last = 0.0
        self._waiting: Progress | None = None
        self._writing = anyio.Lock()

    async def report(self, done: float, total: float | None, message: str | None) -> None:
        """Take progress, and write it unless some was written just before."""
        self._waiting = self._course.at(done, total, message)
        if time.monotonic() - self._last >= REPORT_EVERY_S:
            await self.flush()

    def complete(self) -> None:
        """Take in that the job is done."""
        self._waiting = self._course.at_its_end() or self._waiting

    async def flush(self) -> None:
        """Write what was reported last."""
        async with self._writing:  # the newest is written last
            if self._waiting is not None:
                progress, self._waiting = self._waiting, None
                self._last = time.monotonic()
                await self._write(progress)
