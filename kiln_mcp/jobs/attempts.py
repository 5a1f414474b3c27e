"""The attempts that this process makes at jobs, with their heartbeats.

An attempt is one DBOS workflow. The thread of the workflow only waits: the work runs in the event
loop that opened the runner.
"""

import asyncio
import logging
from contextlib import suppress
from functools import partial

import anyio

from kiln_mcp.errors import unwrap
from kiln_mcp.jobs.heartbeats import Heartbeat
from kiln_mcp.jobs.job_end import end_of
from kiln_mcp.jobs.job_progress import ProgressWriter
from kiln_mcp.jobs.job_records import (
    CountAnswers,
    End,
    Hold,
    Job,
    JobFunction,
    JobSettings,
    JobState,
    JsonObject,
    Progress,
)
from kiln_mcp.jobs.job_table import PROCESS_ENDED, JobTable
from kiln_mcp.jobs.threads import in_thread
from storage.errors import WorkbenchError

_log = logging.getLogger(__name__)


class ProcessEnds(BaseException):
    """The process ends: DBOS must keep the workflow as unfinished, so this is no Exception."""


class Attempts:
    """Makes attempts at jobs in the event loop of one process."""

    def __init__(
        self,
        settings: JobSettings,
        table: JobTable,
        work: JobFunction,
        hold: Hold,
        count_answers: CountAnswers,
    ) -> None:
        """Set up without any contact; the arguments are those of the runner."""
        self._settings = settings
        self._table = table
        self._work = work
        self._hold = hold
        self._count_answers = count_answers
        self._slots = asyncio.Semaphore(settings.at_once)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, asyncio.Task[None]] = {}
        self._is_ending = False

    def open(self) -> None:
        """Make attempts in the current event loop from now on."""
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Stop all attempts; their jobs go on in the next process."""
        self._is_ending = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def follow(self, job_id: str, attempt: int) -> str:
        """Wait in a thread of DBOS for an attempt in the event loop: the workflow."""
        job = self._table.find(job_id)
        if self._loop is None or self._is_ending:
            raise ProcessEnds
        if job is None or job.attempt != attempt or job.state.at_rest:
            return "overtaken"
        try:
            asyncio.run_coroutine_threadsafe(self._run(job), self._loop).result()
        except BaseException as error:
            if self._is_ending:
                raise ProcessEnds from error
            raise
        return "ended"

    def stop(self, job_id: str) -> None:
        """Cancel a job of this process, once: a second time would break off its end."""
        task = self._tasks.get(job_id)
        if task is not None and not task.cancelling():
            task.cancel()

    def pause(self, job_id: str) -> None:
        """Stop a job of this process when its calls in flight are answered."""
        if job_id in self._tasks and job_id not in self._pauses:
            self._pauses[job_id] = asyncio.create_task(self._pause(job_id))

    async def _pause(self, job_id: str) -> None:
        with anyio.move_on_after(self._settings.pause_within_s):
            await self._hold(job_id)
        self.stop(job_id)

    async def _run(self, job: Job) -> None:
        task = asyncio.create_task(self._attempt(job))
        self._tasks[job.id] = task
        try:
            await task
        finally:
            self._tasks.pop(job.id, None)

    async def _attempt(self, job: Job) -> None:
        heartbeat = Heartbeat(self._table, job)
        writer = ProgressWriter(job.progress, partial(self._write_progress, job))
        watch = asyncio.create_task(self._watch(job, heartbeat, writer))
        try:
            async with self._slots:
                answers = await self._count_answers(job.id)
                if not await in_thread(self._table.begin, job, answers):
                    return
                heartbeat.start()
                result = await self._do(job, writer)
            await self._end(job, heartbeat, End(JobState.DONE, result))
        except asyncio.CancelledError:
            if self._is_ending:
                await in_thread(self._table.add_event, job.id, PROCESS_ENDED)
                raise
            is_pause = await self._stop_request(job) is JobState.PAUSING
            await self._end(
                job, heartbeat, End(JobState.PAUSED if is_pause else JobState.CANCELLED)
            )
        except Exception as error:  # noqa: BLE001 - the outermost door of a job
            if not isinstance(unwrap(error), WorkbenchError):
                _log.exception("The job %s (%s) broke", job.id, job.capability)
            await self._end(job, heartbeat, end_of(error))
        finally:
            if pause := self._pauses.pop(job.id, None):
                pause.cancel()
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            await heartbeat.write()

    async def _do(self, job: Job, writer: ProgressWriter) -> JsonObject:
        if await self._stop_request(job):  # made to a process that was killed since
            self.stop(job.id)  # a heartbeat that reads the request does not stop it again
            await asyncio.sleep(0)
        try:
            result = await self._work(job, writer.report)
            writer.complete()
            return result
        finally:
            await writer.flush()

    async def _stop_request(self, job: Job) -> JobState | None:
        """Return in which way a job is to stop; None if nobody asked for it."""
        current = await in_thread(self._table.find, job.id)
        stops = {JobState.CANCELLING, JobState.PAUSING}
        return current.state if current is not None and current.state in stops else None

    async def _end(self, job: Job, heartbeat: Heartbeat, end: End) -> None:
        # First the seconds of work: a caller who sees the end may resume the job at once.
        await heartbeat.write()
        await in_thread(self._table.end, job, end)

    async def _write_progress(self, job: Job, progress: Progress) -> None:
        await in_thread(self._table.write_progress, job, progress)

    async def _watch(self, job: Job, heartbeat: Heartbeat, writer: ProgressWriter) -> None:
        """Write heartbeats, and look whether another process asks the job to stop or pause."""
        while True:
            await anyio.sleep(self._settings.heartbeat_s)
            await writer.flush()  # the last report before the job fell silent
            await heartbeat.write()
            current = await in_thread(self._table.find, job.id)
            if (
                current is None
                or current.attempt != job.attempt
                or current.state is JobState.CANCELLING
            ):
                self.stop(job.id)
            elif current.state is JobState.PAUSING:
                self.pause(job.id)
