"""Jobs that survive: DBOS remembers which are to be done, the journal what models answered.

An attempt at a job is one DBOS workflow. When a process is killed, its successor finds the
workflow unfinished and runs it again; every model call of the first run is then answered from
the journal, so none is paid twice. The work runs in the event loop that opened the runner; the
thread of the workflow only waits for it.
"""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

import anyio
import anyio.to_thread
from dbos import DBOS, DBOSConfig, SetWorkflowID

from kiln_mcp.errors import unwrap
from kiln_mcp.jobs.clocks import Reporter, Silence, Stopwatch
from kiln_mcp.jobs.database import in_plain_words, open_database
from kiln_mcp.jobs.endings import ended_by
from kiln_mcp.jobs.errors import JobStoreFailed, NotResumable, UnknownJob
from kiln_mcp.jobs.ledger import PROCESS_ENDED, Ledger
from kiln_mcp.jobs.records import (
    MOST_RECOVERIES,
    Agreement,
    CountAnswers,
    End,
    Hold,
    Job,
    JobEvent,
    JobSettings,
    JobState,
    JsonObject,
    Progress,
    ReportProgress,
    Work,
    count_no_answers,
    hold_nothing,
)
from kiln_mcp.jobs.turn import Turn
from kiln_mcp.llm import BudgetLimit
from storage.errors import WorkbenchError

QUEUE: Final = "kiln-jobs"
_STILL_THERE: Final = 1e-6

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class _GoOnLater(BaseException):
    """The process ends: DBOS must keep the workflow as unfinished, so this is no Exception."""


class JobRunner:
    """Starts, follows and stops jobs. An async context manager; one a process."""

    def __init__(
        self,
        settings: JobSettings,
        work: Work,
        hold: Hold = hold_nothing,
        count_answers: CountAnswers = count_no_answers,
    ) -> None:
        """Set up without any contact.

        Args:
            settings: How jobs are kept and run.
            work: Does a job and returns its result; called again after a kill, so it must be
                able to begin anew.
            hold: Holds a job's calls back, so that a pause loses no answer.
            count_answers: Counts a job's answered calls: new ones are progress.
        """
        self._settings = settings
        self._work = work
        self._hold = hold
        self._count_answers = count_answers
        self._database = open_database(settings.database_url)
        self._ledger = Ledger(self._database)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._resting: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(settings.at_once)
        self._watching: asyncio.Task[None] | None = None
        self._ending = False
        self._turn = None if settings.file is None else Turn(settings.file)
        self._is_launched = False
        self._enqueueing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        try:
            await _in_thread(self._ledger.create_tables)
            await self._launch_in_turn()
        except JobStoreFailed:
            await self._let_go()
            raise
        if self._shared:
            await DBOS.register_queue_async(
                QUEUE,
                worker_concurrency=self._settings.at_once or 1,
                polling_interval_sec=self._settings.poll_s,
                on_conflict="update_if_latest_version"
                if self._settings.at_once
                else "never_update",
            )
            self._watching = asyncio.create_task(self._take_over_from_the_silent())
        else:
            await self._begin_what_waits()
            self._watching = asyncio.create_task(self._do_what_is_handed_in())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending = True
        tasks = [*self._running.values(), *([self._watching] if self._watching else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._is_launched:
            await _in_thread(partial(DBOS.destroy, destroy_registry=True))
        await self._let_go()

    @property
    def _shared(self) -> bool:
        """Whether workers share the database, each of whom has its turn at once."""
        return self._turn is None

    async def _let_go(self) -> None:
        self._database.dispose()
        if self._turn is not None:
            await _in_thread(self._turn.give_back)

    async def _launch_in_turn(self) -> None:
        """Do jobs from now on, where no other process of this home does; else hand them in."""
        if self._turn is None or (self._settings.at_once and await _in_thread(self._turn.take)):
            await _in_thread(self._launch)
            self._is_launched = True

    async def _do_what_is_handed_in(self) -> None:
        """Begin what other processes of this home hand in; take over from one that has ended."""
        while True:
            await anyio.sleep(self._settings.heartbeat_s)
            try:
                if not self._is_launched:
                    await self._launch_in_turn()
                await self._begin_what_waits()
            except JobStoreFailed as error:
                _log.warning("%s", error)

    async def _begin_what_waits(self) -> None:
        if not self._is_launched:
            return
        for job in await _in_thread(self._ledger.unfinished):
            if job.state is JobState.WAITING:
                await self._enqueue(job)

    def _launch(self) -> None:
        config = DBOSConfig(
            name="kiln-mcp",
            system_database_url=self._settings.database_url,
            system_database_engine=self._database,
            # A job must be gone on with after an upgrade too.
            application_version="1",
            # On one machine a successor takes over its predecessor's name and so its work; on
            # several each process has its own, and the silent are taken over by the others.
            executor_id=f"{socket.gethostname()}-{os.getpid()}" if self._shared else "local",
            log_level="WARNING",
        )
        DBOS(config=config)

        def job(job_id: str, attempt: int) -> str:
            return self._follow(job_id, attempt)

        # The ledger counts recoveries: DBOS counts a process that ended in order, too, and knows
        # nothing of progress.
        self._workflow = DBOS.workflow(name="job", max_recovery_attempts=None)(job)
        if self._settings.at_once == 0:
            DBOS.listen_queues([])
        with in_plain_words(self._database):
            DBOS.launch()

    async def start(
        self,
        capability: str,
        arguments: JsonObject,
        limit: BudgetLimit | None = None,
        model: str | None = None,
        agreement: Agreement | None = None,
    ) -> Job:
        """Begin a job; returns at once.

        Args:
            capability: What it does.
            arguments: With what.
            limit: What it may spend, all attempts together.
            model: The default model of who starts it.
            agreement: What was agreed to; None if nothing was proposed.
        """
        held = limit or BudgetLimit()
        plan = agreement.plan.text if agreement else ""
        job = Job(
            secrets.token_hex(4),
            capability,
            arguments,
            held,
            model,
            plan=plan,
            agreement=agreement,
        )
        await _in_thread(self._ledger.add, job)
        await self._enqueue(job)
        return await self.find(job.id)

    async def _enqueue(self, job: Job) -> None:
        """Hand a job to DBOS, once; left to the process whose turn it is where that is another."""
        if not self._is_launched:
            return
        work, own = self._workflow, _workflow_id(job)
        async with self._enqueueing:
            with in_plain_words(self._database), SetWorkflowID(own):
                if await _in_thread(DBOS.get_workflow_status, own) is not None:
                    return
                if self._shared:
                    await _in_thread(DBOS.enqueue_workflow, QUEUE, work, job.id, job.attempt)
                else:
                    await _in_thread(DBOS.start_workflow, work, job.id, job.attempt)

    async def find(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            UnknownJob: No job has this id.
        """
        job = await _in_thread(self._ledger.find, job_id)
        if job is None:
            newest = await self.newest(5)
            raise UnknownJob(job_id, [other.id for other in newest])
        return job

    async def under_way(
        self, capability: str, arguments: JsonObject, limit: BudgetLimit, model: str | None
    ) -> Job | None:
        """Return the job that does just this already, None where there is none."""
        wanted = (capability, arguments, limit, model)
        jobs = await _in_thread(self._ledger.unfinished)
        goes_on = (j for j in jobs if j.state in {JobState.WAITING, JobState.RUNNING})
        same = (j for j in goes_on if (j.capability, j.arguments, j.limit, j.model) == wanted)
        return next(same, None)

    async def newest(self, most: int = 20) -> list[Job]:
        """Return the newest jobs, newest first."""
        return await _in_thread(self._ledger.newest, most)

    async def events(self, job_id: str) -> list[JobEvent]:
        """Return what happened to a job, oldest first."""
        return await _in_thread(self._ledger.events, job_id)

    async def unfinished(self) -> int:
        """Return how many jobs are not at rest."""
        return await _in_thread(self._ledger.count_unfinished)

    async def wait(
        self,
        job_id: str,
        timeout_s: float,
        report: ReportProgress | None = None,
        is_enough: Callable[[], Awaitable[bool]] | None = None,
    ) -> Job:
        """Wait until a job is at rest or the time is over; return it as it is then.

        Args:
            job_id: The job.
            timeout_s: The longest wait.
            report: Where its progress goes.
            is_enough: Ends the wait early.

        Raises:
            UnknownJob: No job has this id.
        """
        until = time.monotonic() + timeout_s
        job = await self.find(job_id)
        told, told_at, again = None, 0.0, 0
        while not job.state.at_rest and time.monotonic() < until:
            silent_s = time.monotonic() - told_at
            if report is not None and (
                job.progress != told or silent_s >= self._settings.tell_every_s
            ):
                again = again + 1 if told and job.progress.done == told.done else 0
                told, told_at = job.progress, time.monotonic()
                # The protocol wants each report to be higher than the one before.
                done = told.done + again * _STILL_THERE
                await report(done, told.total, told.message or f"The job is {job.state.value}.")
            await anyio.sleep(min(self._settings.poll_s, max(0.0, until - time.monotonic())))
            job = await self.find(job_id)
            if is_enough is not None and await is_enough():
                break
        return job

    async def cancel(self, job_id: str) -> Job:
        """Ask for a job to be given up; what it has done is kept.

        Raises:
            UnknownJob: No job has this id.
        """
        await self.find(job_id)
        await _in_thread(self._ledger.cancel, job_id)
        self._stop(job_id)
        return await self.find(job_id)

    async def pause(self, job_id: str) -> Job:
        """Ask for a job to rest once the calls on their way are answered.

        Raises:
            UnknownJob: No job has this id.
        """
        await self.find(job_id)
        await _in_thread(self._ledger.pause, job_id)
        job = await self.find(job_id)
        if job.state is JobState.PAUSING:
            self._bring_to_rest(job_id)
        return job

    def _bring_to_rest(self, job_id: str) -> None:
        """Stop a job of this process when its calls on their way are answered."""
        if job_id in self._running and job_id not in self._resting:
            self._resting[job_id] = asyncio.create_task(self._rest(job_id))

    async def _rest(self, job_id: str) -> None:
        with anyio.move_on_after(self._settings.pause_within_s):
            await self._hold(job_id)
        self._stop(job_id)

    def _stop(self, job_id: str) -> None:
        """Cancel a job of this process, once: a second time would break off its end."""
        task = self._running.get(job_id)
        if task is not None and not task.cancelling():
            task.cancel()

    async def resume(self, job_id: str, limit: BudgetLimit | None = None) -> Job:
        """Go on with a job that is at rest and not done, as one that failed or was set aside.

        Args:
            job_id: The job.
            limit: What it may spend, all attempts together; None for the limit it has.

        Raises:
            UnknownJob: No job has this id.
            NotResumable: It is running or done.
        """
        job = await self.find(job_id)
        if not job.state.at_rest or job.state is JobState.DONE:
            raise NotResumable(job.id, job.state)
        return await self._begin_again(job, limit or job.limit)

    async def _begin_again(
        self, job: Job, limit: BudgetLimit, recoveries: int = 0, answers: int = 0
    ) -> Job:
        if await _in_thread(self._ledger.next_attempt, job, limit, recoveries, answers):
            await self._enqueue(replace(job, attempt=job.attempt + 1))
        return await self.find(job.id)

    def _follow(self, job_id: str, attempt: int) -> str:
        """The workflow: runs in one of DBOS's threads, waits for the work in the event loop."""
        job = self._ledger.find(job_id)
        if self._loop is None or self._ending:
            raise _GoOnLater
        if job is None or job.attempt != attempt or job.state.at_rest:
            return "overtaken"
        try:
            asyncio.run_coroutine_threadsafe(self._carry_out(job), self._loop).result()
        except BaseException as error:
            if self._ending:
                raise _GoOnLater from error
            raise
        return "ended"

    async def _carry_out(self, job: Job) -> None:
        task = asyncio.create_task(self._attempt(job))
        self._running[job.id] = task
        try:
            await task
        finally:
            self._running.pop(job.id, None)

    async def _attempt(self, job: Job) -> None:
        worked = Stopwatch(job.worked_s)
        reporter = Reporter(job.progress, partial(self._write_progress, job))
        beating = asyncio.create_task(self._heartbeat(job, worked, reporter))
        try:
            async with self._slots:
                answers = await self._count_answers(job.id)
                if not await _in_thread(self._ledger.begin, job, answers):
                    return
                worked.start()
                result = await self._do(job, reporter)
            await self._end(job, worked, End(JobState.DONE, result))
        except asyncio.CancelledError:
            if self._ending:
                await _in_thread(self._ledger.tell, job.id, PROCESS_ENDED)
                raise
            asked = await self._asked_to_stop(job)
            paused = asked is JobState.PAUSING
            await self._end(job, worked, End(JobState.PAUSED if paused else JobState.CANCELLED))
        except Exception as error:  # noqa: BLE001 - the outermost door of a job
            if not isinstance(unwrap(error), WorkbenchError):
                _log.exception("The job %s (%s) broke", job.id, job.capability)
            await self._end(job, worked, ended_by(error))
        finally:
            if resting := self._resting.pop(job.id, None):
                resting.cancel()
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating
            await _in_thread(self._ledger.keep_alive, job, worked.seconds)

    async def _do(self, job: Job, reporter: "Reporter") -> JsonObject:
        if await self._asked_to_stop(job):  # of a process that was killed since
            raise asyncio.CancelledError
        try:
            result = await self._work(job, reporter.report)
            reporter.complete()
            return result
        finally:
            await reporter.flush()

    async def _asked_to_stop(self, job: Job) -> JobState | None:
        """Return in which way somebody wants the job to stop; None where nobody does."""
        now = await self.find(job.id)
        return now.state if now.state in {JobState.CANCELLING, JobState.PAUSING} else None

    async def _end(self, job: Job, worked: Stopwatch, end: End) -> None:
        # Before anybody can see that it ended, and go on with it from what is written.
        await _in_thread(self._ledger.keep_alive, job, worked.seconds)
        await _in_thread(self._ledger.end, job, end)

    async def _write_progress(self, job: Job, progress: Progress) -> None:
        await _in_thread(self._ledger.report, job, progress)

    async def _heartbeat(self, job: Job, worked: "Stopwatch", reporter: "Reporter") -> None:
        """Show signs of life, and hear whether another process wants the job to stop or rest."""
        while True:
            await anyio.sleep(self._settings.heartbeat_s)
            await reporter.flush()  # what was reported last before the job fell silent
            await _in_thread(self._ledger.keep_alive, job, worked.seconds)
            now = await _in_thread(self._ledger.find, job.id)
            goes_on = (
                now is not None
                and now.attempt == job.attempt
                and now.state is not JobState.CANCELLING
            )
            if not goes_on:
                self._stop(job.id)
            elif now is not None and now.state is JobState.PAUSING:
                self._bring_to_rest(job.id)

    async def _take_over_from_the_silent(self) -> None:
        """Begin the jobs of killed processes again; of several who try, one succeeds."""
        silence = Silence()
        while True:
            await anyio.sleep(self._settings.heartbeat_s)
            silent = silence.of(await _in_thread(self._ledger.unfinished))
            for job in silent:
                if job.state is JobState.WAITING:
                    await self._enqueue(job)  # its process was killed right before it did so
                else:
                    await self._recover(job)

    async def _recover(self, job: Job) -> None:
        answers = await self._count_answers(job.id)
        recoveries = job.recoveries_with(answers)
        if recoveries > MOST_RECOVERIES:
            await _in_thread(self._ledger.set_aside, job)
        else:
            await self._begin_again(job, job.limit, recoveries, answers)


def _workflow_id(job: Job) -> str:
    return f"{job.id}-{job.attempt}"


async def _in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await anyio.to_thread.run_sync(partial(function, *args, **kwargs))
