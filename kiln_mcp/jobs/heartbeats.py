"""Heartbeats of jobs, timed by monotonic clocks, which nobody can set."""

import time
from collections.abc import Sequence
from typing import Final

from kiln_mcp.jobs.job_records import Job

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


class Stopwatch:
    """How long a job was worked at, all attempts together."""

    def __init__(self, earlier_s: float) -> None:
        """Set up.

        Args:
            earlier_s: The seconds of earlier attempts.
        """
        self._earlier_s = earlier_s
        self._started: float | None = None

    def start(self) -> None:
        """Begin to count."""
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """All seconds so far."""
        if self._started is None:
            return self._earlier_s
        return self._earlier_s + time.monotonic() - self._started
