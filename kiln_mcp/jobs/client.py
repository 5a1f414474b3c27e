"""The client that submits jobs and asks about them; it opens the runner when first needed."""

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from kiln_mcp.jobs.backlog import has_jobs
from kiln_mcp.jobs.job_records import (
    ACTIVE_STATES,
    CountAnswers,
    Hold,
    Job,
    JobFunction,
    JobSettings,
    JobState,
    count_no_answers,
    hold_nothing,
)

if TYPE_CHECKING:
    from kiln_mcp.jobs.job_runner import JobRunner


def _new_runner(
    settings: JobSettings, work: JobFunction, hold: Hold, count_answers: CountAnswers
) -> "JobRunner":
    from kiln_mcp.jobs.job_runner import JobRunner

    return JobRunner(settings, work, hold, count_answers)


def _jobs_set_aside(database_url: str) -> list[Job]:
    from kiln_mcp.jobs.database import open_database
    from kiln_mcp.jobs.job_table import JobTable

    database = open_database(database_url)
    try:
        return JobTable(database).jobs_set_aside()
    finally:
        database.dispose()


class JobClient:
    """Opens the runner at the first job. DBOS and SQLAlchemy take half a second to import."""

    def __init__(
        self,
        settings: JobSettings,
        work: JobFunction,
        hold: Hold = hold_nothing,
        count_answers: CountAnswers = count_no_answers,
    ) -> None:
        self._settings = settings
        self._work = work
        self._hold = hold
        self._count_answers = count_answers
        self._runner: JobRunner | None = None
        self._opening = anyio.Lock()

    async def runner(self) -> "JobRunner":
        """Return the open runner; unfinished jobs go on here if no other process runs them.

        Raises:
            JobStoreFailure: The database of jobs cannot be used.
        """
        async with self._opening:
            if self._runner is None:
                runner = await anyio.to_thread.run_sync(
                    _new_runner, self._settings, self._work, self._hold, self._count_answers
                )
                self._runner = await runner.__aenter__()
            return self._runner

    async def run_unfinished(self) -> None:
        """Open the runner if an earlier process left jobs, or another one handed jobs in.

        Raises:
            JobStoreFailure: The database of jobs cannot be used.
        """
        file = self._settings.file
        if file is None or await anyio.to_thread.run_sync(has_jobs, file, ACTIVE_STATES):
            await self.runner()

    async def newest(self, limit: int = 20, older_than: str = "") -> list[Job]:
        """Return the newest jobs, newest first, without opening what was never used.

        Args:
            limit: The most jobs.
            older_than: The id of a job; only those before it are returned.
        """
        file = self._settings.file
        if file is None or await anyio.Path(file).exists():
            return await (await self.runner()).newest(limit, older_than)
        return []

    async def unfinished_jobs(self) -> list[Job]:
        """Return the jobs that are not at rest, without opening what was never used."""
        file = self._settings.file
        if file is None or await anyio.Path(file).exists():
            return await (await self.runner()).unfinished_jobs()
        return []

    async def jobs_set_aside(self) -> list[Job]:
        """Return the newest jobs that are set aside, without running any job.

        Raises:
            JobStoreFailure: The database of jobs cannot be used.
        """
        file = self._settings.file
        states = (JobState.SET_ASIDE,)
        if file is not None and not await anyio.to_thread.run_sync(has_jobs, file, states):
            return []
        return await anyio.to_thread.run_sync(_jobs_set_aside, self._settings.database_url)

    async def count_unfinished(self) -> int:
        """Return how many jobs are not at rest; 0 if this process never opened the runner."""
        return 0 if self._runner is None else await self._runner.count_unfinished()

    async def close(self) -> None:
        """End this process's part; unfinished jobs go on in the next one."""
        if self._runner is not None:
            await self._runner.__aexit__(None, None, None)
            self._runner = None
