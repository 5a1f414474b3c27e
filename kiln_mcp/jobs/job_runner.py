"""Jobs that survive their process: start, follow, pause, cancel and resume them.

When a process is killed, the next one finds the attempt unfinished and makes it again. Every model
call of the killed attempt is then answered from the response cache, so that none is paid twice.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

import anyio

from kiln_mcp.jobs.attempts import Attempts
from kiln_mcp.jobs.database import open_database
from kiln_mcp.jobs.errors import JobStoreFailure
from kiln_mcp.jobs.job_records import (
    ApprovedPlan,
    CountAnswers,
    Hold,
    Job,
    JobEvent,
    JobFunction,
    JobSettings,
    JobState,
    JsonObject,
    Progress,
    ReportProgress,
    count_no_answers,
    hold_nothing,
)
from kiln_mcp.jobs.job_table import JobTable
from kiln_mcp.jobs.recovery import WorkerRecovery, enqueue_waiting
from kiln_mcp.jobs.runner_lock import RunnerLock
from kiln_mcp.jobs.threads import in_thread
from kiln_mcp.jobs.workflows import Workflows
from kiln_mcp.llm import BudgetLimit
from storage import new_job_id
from storage.errors import RecordNotFound, Refusal
from storage.text.suggestions import MOST_NAMES

_SMALLEST_STEP: Final = 1e-6

_log = logging.getLogger(__name__)


class JobRunner:
    """Starts, follows and stops jobs. An async context manager; one a process."""

    def __init__(
        self,
        settings: JobSettings,
        work: JobFunction,
        hold: Hold = hold_nothing,
        count_answers: CountAnswers = count_no_answers,
    ) -> None:
        """Set up without any contact.

        Args:
            settings: How jobs are kept and run.
            work: Does a job and returns its result. It is called again after a kill, so it must
                be able to begin again.
            hold: Holds a job's calls back, so that a pause loses no answer.
            count_answers: Counts a job's answered calls: new ones are progress.
        """
        self._settings = settings
        self._database = open_database(settings.database_url)
        self._table = JobTable(self._database)
        self._attempts = Attempts(settings, self._table, work, hold, count_answers)
        self._workflows = Workflows(settings, self._database, self._table, self._attempts.follow)
        self._recovery = WorkerRecovery(self._table, self._workflows, count_answers)
        self._lock = None if settings.file is None else RunnerLock(settings.file)
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._attempts.open()
        try:
            await in_thread(self._table.create_tables)
            await self._launch_if_free()
        except JobStoreFailure:
            await self._release()
            raise
        if self._lock is None:
            self._watch = asyncio.create_task(self._watch_workers())
        else:
            await enqueue_waiting(self._table, self._workflows)
            self._watch = asyncio.create_task(self._watch_home())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()
        await self._attempts.close()
        if self._watch is not None:
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._workflows.close()
        await self._release()

    async def _release(self) -> None:
        self._database.dispose()
        if self._lock is not None:
            await in_thread(self._lock.release)

    async def _launch_if_free(self) -> None:
        """Run jobs from now on if no other process of this home does; else only hand them in.

        Workers that share a database all run jobs.
        """
        if self._lock is not None:
            runs_jobs = self._settings.at_once > 0 and await in_thread(self._lock.acquire)
            if not runs_jobs:
                return
        await self._workflows.launch()

    async def _watch_home(self) -> None:
        """Run what other processes of this home hand in; take over from one that has ended."""
        while True:
            await anyio.sleep(self._settings.heartbeat_s)
            try:
                if not self._workflows.is_launched:
                    await self._launch_if_free()
                await enqueue_waiting(self._table, self._workflows)
            except JobStoreFailure as error:
                _log.warning("%s", error)

    async def _watch_workers(self) -> None:
        """Take over from workers on the shared database that died."""
        while True:
            await anyio.sleep(self._settings.heartbeat_s)
            await self._recovery.recover()

    async def start(
        self,
        capability: str,
        arguments: JsonObject,
        limit: BudgetLimit | None = None,
        model: str | None = None,
        approved_plan: ApprovedPlan | None = None,
    ) -> Job:
        """Start a job, and return at once.

        Args:
            capability: What it does.
            arguments: The capability's arguments.
            limit: What it may spend, all attempts together.
            model: The default model of the caller.
            approved_plan: The plan that was approved; None if nothing was proposed.
        """
        job = Job(
            new_job_id(),
            capability,
            arguments,
            limit or BudgetLimit(),
            model,
            plan=approved_plan.plan.text if approved_plan else "",
            approved_plan=approved_plan,
        )
        await in_thread(self._table.add, job)
        await self._workflows.enqueue(job)
        return await self.find(job.id)

    async def find(self, job_id: str) -> Job:
        """Return a job by its id, also after `job/`, or by how its id alone begins.

        Raises:
            RecordNotFound: No job has this id.
        """
        jobs = await in_thread(self._table.find_all, job_id.strip().removeprefix("job/"))
        if len(jobs) == 1:
            return jobs[0]
        raise RecordNotFound("job", job_id, [other.id for other in await self.newest(MOST_NAMES)])

    async def find_active(
        self, capability: str, arguments: JsonObject, limit: BudgetLimit, model: str | None
    ) -> Job | None:
        """Return the job that waits or runs with exactly these values; None if there is none."""
        request = (capability, arguments, limit, model)
        jobs = await in_thread(self._table.unfinished_jobs)
        active = (job for job in jobs if job.state in {JobState.WAITING, JobState.RUNNING})
        return next(
            (j for j in active if (j.capability, j.arguments, j.limit, j.model) == request), None
        )

    async def newest(self, limit: int = 20, older_than: str = "") -> list[Job]:
        """Return the newest jobs, newest first; with an id, those before that job."""
        return await in_thread(self._table.newest, limit, older_than)

    async def unfinished_jobs(self) -> list[Job]:
        """Return the jobs that are not at rest."""
        return await in_thread(self._table.unfinished_jobs)

    async def events(self, job_id: str) -> list[JobEvent]:
        """Return the events of a job, oldest first."""
        return await in_thread(self._table.events, job_id)

    async def count_unfinished(self) -> int:
        """Return how many jobs are not at rest."""
        return await in_thread(self._table.count_unfinished)

    async def wait(
        self,
        job_id: str,
        timeout_s: float,
        report: ReportProgress | None = None,
        is_enough: Callable[[Job], Awaitable[bool]] | None = None,
    ) -> Job:
        """Wait until a job is at rest or the time is over; return the job as it is then.

        Args:
            job_id: The job.
            timeout_s: The longest wait.
            report: Where its progress goes.
            is_enough: Ends the wait early.

        Raises:
            RecordNotFound: No job has this id.
        """
        deadline = time.monotonic() + timeout_s
        job = await self.find(job_id)
        reporter = None if report is None else _WaitReporter(report, self._settings.tell_every_s)
        while not job.state.at_rest and time.monotonic() < deadline:
            if reporter is not None:
                await reporter.report(job)
            await anyio.sleep(min(self._settings.poll_s, max(0.0, deadline - time.monotonic())))
            job = await self.find(job.id)
            if is_enough is not None and await is_enough(job):
                break
        return job

    async def cancel(self, job_id: str) -> Job:
        """Ask for a job to be cancelled; what it has done is kept.

        Raises:
            RecordNotFound: No job has this id.
        """
        job = await self.find(job_id)
        await in_thread(self._table.request_cancel, job.id)
        self._attempts.stop(job.id)
        return await self.find(job.id)

    async def pause(self, job_id: str) -> Job:
        """Ask for a job to pause once its calls in flight are answered.

        Raises:
            RecordNotFound: No job has this id.
        """
        job_id = (await self.find(job_id)).id
        await in_thread(self._table.request_pause, job_id)
        job = await self.find(job_id)
        if job.state is JobState.PAUSING:
            self._attempts.pause(job_id)
        return job

    async def resume(self, job_id: str, limit: BudgetLimit | None = None) -> Job:
        """Go on with a job that is at rest and not done.

        Args:
            job_id: The job.
            limit: What it may spend, all attempts together; None for the limit it has.

        Raises:
            RecordNotFound: No job has this id.
            Refusal: It is running or done.
        """
        job = await self.find(job_id)
        if not job.state.at_rest or job.state is JobState.DONE:
            raise Refusal(
                "The job {job} is {state}. Only a job that failed, was paused, cancelled, set "
                "aside or stopped by its limit can be resumed; wait for this one instead.",
                job=job.id,
                state=job.state.value,
            )
        await self._workflows.enqueue_next(job, limit or job.limit)
        return await self.find(job.id)


class _WaitReporter:
    """Reports a job to the caller who waits: each change, and again if nothing changes."""

    def __init__(self, report: ReportProgress, interval_s: float) -> None:
        self._report = report
        self._interval_s = interval_s
        self._last: Progress | None = None
        self._report_s = 0.0
        self._repeats = 0

    async def report(self, job: Job) -> None:
        """Report the job if it has changed, or if the last report is too old."""
        progress, last = job.progress, self._last
        if progress == last and time.monotonic() - self._report_s < self._interval_s:
            return
        self._repeats = self._repeats + 1 if last and progress.done == last.done else 0
        self._last, self._report_s = progress, time.monotonic()
        # The protocol wants each report to be higher than the previous one.
        done = progress.done + self._repeats * _SMALLEST_STEP
        text = progress.message or f"The job is {job.state.value}."
        await self._report(done, progress.total, text)
