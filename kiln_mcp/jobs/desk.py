"""Jobs, opened when first needed: DBOS takes half a second to import."""

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from kiln_mcp.jobs.records import (
    CountAnswers,
    Hold,
    Job,
    JobSettings,
    Work,
    count_no_answers,
    hold_nothing,
)

if TYPE_CHECKING:
    from kiln_mcp.jobs.runner import JobRunner


def _new_runner(
    settings: JobSettings, work: Work, hold: Hold, count_answers: CountAnswers
) -> "JobRunner":
    from kiln_mcp.jobs.runner import JobRunner

    return JobRunner(settings, work, hold, count_answers)


def _all_set_aside(database_url: str) -> list[Job]:
    from kiln_mcp.jobs.database import open_database
    from kiln_mcp.jobs.ledger import Ledger

    database = open_database(database_url)
    try:
        return Ledger(database).all_set_aside()
    finally:
        database.dispose()


class JobDesk:
    """Where jobs are handed in; the runner behind it is opened at the first one."""

    def __init__(
        self,
        settings: JobSettings,
        work: Work,
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
        """Return the open runner; unfinished jobs go on here, where no other process does them.

        Raises:
            JobStoreFailed: The database of jobs cannot be used.
        """
        async with self._opening:
            if self._runner is None:
                runner = await anyio.to_thread.run_sync(
                    _new_runner, self._settings, self._work, self._hold, self._count_answers
                )
                self._runner = await runner.__aenter__()
            return self._runner

    async def go_on(self) -> None:
        """Open the runner where there may be unfinished jobs of an earlier process."""
        file = self._settings.file
        if file is None or await anyio.Path(file).exists():
            await self.runner()

    async def newest(self, most: int = 20) -> list[Job]:
        """Return the newest jobs, newest first, without opening what was never used."""
        await self.go_on()
        return [] if self._runner is None else await self._runner.newest(most)

    async def set_aside(self) -> list[Job]:
        """Return the newest jobs that are set aside, without beginning any job.

        Raises:
            JobStoreFailed: The database of jobs cannot be used.
        """
        file = self._settings.file
        if file is not None and not await anyio.Path(file).exists():
            return []
        return await anyio.to_thread.run_sync(_all_set_aside, self._settings.database_url)

    async def unfinished(self) -> int:
        """Return how many jobs are not at rest; 0 where no job was ever looked at."""
        return 0 if self._runner is None else await self._runner.unfinished()

    async def close(self) -> None:
        """End this process's part; unfinished jobs go on in the next one."""
        if self._runner is not None:
            await self._runner.__aexit__(None, None, None)
            self._runner = None
