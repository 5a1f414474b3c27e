"""Attempts at jobs as DBOS workflows: the one module that uses DBOS.

DBOS remembers which attempts are unfinished. After a kill it runs them again: on one machine in the
next process, because every process has the same executor id there. Nothing of that is done here.

DBOS cannot tell that a worker on Postgres died: its recovery at startup covers the executor's own
id, and ids differ between workers. `kiln_mcp/jobs/recovery.py` detects the lost heartbeat and
begins the next attempt. It does not run the same workflow again, because a worker that only hung
would then run it twice. The number of the attempt tells such a worker to stop.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, SetWorkflowID

from kiln_mcp.jobs.database import database_errors
from kiln_mcp.jobs.job_records import Job, JobSettings
from kiln_mcp.jobs.job_table import JobTable
from kiln_mcp.jobs.threads import in_thread
from kiln_mcp.llm import BudgetLimit

QUEUE: Final = "kiln-jobs"

Follow = Callable[[str, int], str]
"""Waits in a thread for the attempt of this number at a job."""


class Workflows:
    """Starts the workflow of each attempt, once."""

    def __init__(
        self, settings: JobSettings, database: sa.Engine, table: JobTable, follow: Follow
    ) -> None:
        self._settings = settings
        self._database = database
        self._table = table
        self._follow = follow
        self._is_shared = settings.file is None
        self._enqueueing = asyncio.Lock()
        self.is_launched = False

    async def launch(self) -> None:
        """Run workflows from now on, those of killed processes first."""
        await in_thread(self._launch)
        self.is_launched = True
        if self._is_shared:
            takes_jobs = self._settings.at_once > 0
            await DBOS.register_queue_async(
                QUEUE,
                worker_concurrency=self._settings.at_once or 1,
                polling_interval_sec=self._settings.poll_s,
                on_conflict="update_if_latest_version" if takes_jobs else "never_update",
            )

    async def close(self) -> None:
        """Stop DBOS; unfinished workflows stay in the database."""
        if self.is_launched:
            await in_thread(partial(DBOS.destroy, destroy_registry=True))

    def _launch(self) -> None:
        config = DBOSConfig(
            name="kiln-mcp",
            system_database_url=self._settings.database_url,
            system_database_engine=self._database,
            # A job must go on after an upgrade too.
            application_version="1",
            # On one machine the next process takes over the name of the last one, and so its work.
            executor_id=f"{socket.gethostname()}-{os.getpid()}" if self._is_shared else "local",
            # Its listener sleeps for so long before it sees that the process ends.
            notification_listener_polling_interval_sec=self._settings.poll_s,
            log_level="WARNING",
        )
        DBOS(config=config)

        def job(job_id: str, attempt: int) -> str:
            return self._follow(job_id, attempt)

        # The job table counts recoveries: DBOS counts orderly ends too, and knows no progress.
        self._workflow = DBOS.workflow(name="job", max_recovery_attempts=None)(job)
        if self._settings.at_once == 0:
            DBOS.listen_queues([])
        with database_errors(self._database):
            DBOS.launch()

    async def enqueue(self, job: Job) -> None:
        """Hand the attempt at a job to DBOS, once.

        A process that runs no jobs leaves that to the process that does.
        """
        if not self.is_launched:
            return
        workflow, workflow_id = self._workflow, f"{job.id}-{job.attempt}"
        async with self._enqueueing:
            with database_errors(self._database), SetWorkflowID(workflow_id):
                if await in_thread(DBOS.get_workflow_status, workflow_id) is not None:
                    return
                if self._is_shared:
                    await in_thread(DBOS.enqueue_workflow, QUEUE, workflow, job.id, job.attempt)
                else:
                    await in_thread(DBOS.start_workflow, workflow, job.id, job.attempt)

    async def enqueue_next(
        self, job: Job, limit: BudgetLimit, recoveries: int = 0, answers: int = 0
    ) -> None:
        """Begin the next attempt at a job; of several processes that try, one succeeds."""
        if await in_thread(self._table.next_attempt, job, limit, recoveries, answers):
            await self.enqueue(replace(job, attempt=job.attempt + 1))
