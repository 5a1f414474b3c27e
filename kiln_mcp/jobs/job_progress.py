"""How far a job is over all its attempts: its progress never goes back.

A capability begins again after a kill or a pause, and counts from zero. Either it goes through
everything again, answered from the response cache, or it plans the remaining work. It may also do
one thing after another, each with a total of its own.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from kiln_mcp.jobs.job_records import Progress

WRITE_INTERVAL_S: Final = 0.25


class ProgressAccount:
    """Turns the reports of a job's newest attempt into the progress of the job."""

    def __init__(self, earlier: Progress) -> None:
        """Set up.

        Args:
            earlier: The progress of earlier attempts.
        """
        self._earlier = earlier
        self._last = earlier
        self._ended_parts = 0.0
        self._done = 0.0
        self._total: float | None = None
        self._skipped_total: float | None = None

    def add(self, done: float, total: float | None, message: str | None) -> Progress:
        """Return the progress of the job after a report.

        Args:
            done: As the capability counts.
            total: The whole amount, as the capability counts; None if it does not know.
            message: What it does.
        """
        self._count(done, total)
        amount = self._ended_parts + self._done + (self._skipped_total or 0.0)
        text = message or ""
        if amount < self._earlier.done:
            repeat = f"Going through what was done before: {amount:g} of {self._earlier.done:g}."
            text = f"{repeat} {text}".strip()
        self._last = Progress(*self._within(max(amount, self._last.done)), text)
        return self._last

    def complete(self) -> Progress | None:
        """Return the progress of a job that is done; None if the last one says so already."""
        total = self._last.total
        if total is None or self._last.done == total or self._done != self._total:
            return None
        return Progress(total, total, self._last.message)

    def _count(self, done: float, total: float | None) -> None:
        """Add a report, which belongs to the current part of the work or begins the next part."""
        if total is None:
            if self._total is None:
                self._done = max(done, self._done)
            return
        if self._total is None:
            self._done = done
        elif total != self._total or (done < self._done and self._done >= self._total):
            self._ended_parts += self._done
            self._done = done
        else:
            self._done = max(done, self._done)
        self._total = total
        if self._skipped_total is None:  # a smaller total is that of the remaining work
            self._skipped_total = max(0.0, (self._earlier.total or 0.0) - total)

    def _within(self, amount: float) -> tuple[float, float | None]:
        """Return what is done, and of how much."""
        if self._total is None:
            earlier = self._earlier.total  # 0 is a total: an attempt that had nothing to do
            return (amount if earlier is None else min(amount, earlier)), earlier
        plan = self._ended_parts + self._total + (self._skipped_total or 0.0)
        total = max(plan, self._earlier.total or 0.0, self._last.done)
        return min(amount, total), total


class ProgressWriter:
    """Writes progress at most every quarter of a second, and the last one at the end."""

    def __init__(self, earlier: Progress, write: Callable[[Progress], Awaitable[None]]) -> None:
        """Set up.

        Args:
            earlier: The progress of earlier attempts.
            write: Stores progress.
        """
        self._account = ProgressAccount(earlier)
        self._write = write
        self._written_s = 0.0
        self._pending: Progress | None = None
        self._lock = anyio.Lock()

    async def report(self, done: float, total: float | None, message: str | None) -> None:
        """Take a report, and write it unless one was written just before."""
        self._pending = self._account.add(done, total, message)
        if time.monotonic() - self._written_s >= WRITE_INTERVAL_S:
            await self.flush()

    def complete(self) -> None:
        """Take in that the job is done."""
        self._pending = self._account.complete() or self._pending

    async def flush(self) -> None:
        """Write the last report."""
        async with self._lock:  # the newest is written last
            if self._pending is not None:
                progress, self._pending = self._pending, None
                self._written_s = time.monotonic()
                await self._write(progress)
