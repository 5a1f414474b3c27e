"""Heartbeats of jobs, timed by monotonic clocks, which nobody can set."""

import time
from collections.abc import Sequence
from typing import Final

from kiln_mcp.jobs.job_records import Job
from kiln_mcp.jobs.job_table import JobTable
from kiln_mcp.jobs.threads import in_thread

HEARTBEAT_LOST_S: Final = 10.0
"""Without a heartbeat for so long, a job's process counts as dead."""


class LostHeartbeats:
    """Which jobs have had no heartbeat for long, by the clock of this process."""

    def __init__(self) -> None:
        self._changes: dict[str, tuple[Job, float]] = {}

    def among(self, jobs: Sequence[Job]) -> list[Job]:
        """Return those of these jobs that have not changed for long."""
        now_s, previous = time.monotonic(), self._changes
        self._changes = {
            job.id: previous[job.id]
            if job.id in previous and previous[job.id][0] == job
            else (job, now_s)
            for job in jobs
        }
        return [
            job for job, change_s in self._changes.values() if now_s - change_s >= HEARTBEAT_LOST_S
        ]


class Heartbeat:
    """The heartbeat of an attempt at a job, with the seconds of work of all attempts."""

    def __init__(self, table: JobTable, job: Job) -> None:
        """Set up.

        Args:
            table: Where the job is.
            job: The job, with the seconds of earlier attempts.
        """
        self._table = table
        self._job = job
        self._started: float | None = None

    def start(self) -> None:
        """Begin to count the seconds of work."""
        self._started = time.monotonic()

    async def write(self) -> None:
        """Write a heartbeat now."""
        worked_s = self._job.worked_s
        if self._started is not None:
            worked_s += time.monotonic() - self._started
        await in_thread(self._table.write_heartbeat, self._job, worked_s)
