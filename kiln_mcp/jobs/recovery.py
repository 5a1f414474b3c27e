"""Find jobs that no process runs: those that wait, and those whose process died.

This is all that is added to the recovery of DBOS; `kiln_mcp/jobs/workflows.py` has the reasons.
"""

from kiln_mcp.jobs.heartbeats import LostHeartbeats
from kiln_mcp.jobs.job_records import CountAnswers, Job, JobState
from kiln_mcp.jobs.job_table import JobTable
from kiln_mcp.jobs.threads import in_thread
from kiln_mcp.jobs.workflows import Workflows


async def enqueue_waiting(table: JobTable, workflows: Workflows) -> None:
    """Enqueue the jobs that other processes of this home have handed in."""
    if not workflows.is_launched:
        return
    for job in await in_thread(table.unfinished_jobs):
        if job.state is JobState.WAITING:
            await workflows.enqueue(job)


class WorkerRecovery:
    """Begins the jobs of dead workers again, on a shared database."""

    def __init__(self, table: JobTable, workflows: Workflows, count_answers: CountAnswers) -> None:
        self._table = table
        self._workflows = workflows
        self._count_answers = count_answers
        self._heartbeats = LostHeartbeats()

    async def recover(self) -> None:
        """Look once for lost heartbeats, and take their jobs over."""
        jobs = await in_thread(self._table.unfinished_jobs)
        for job in self._heartbeats.among(jobs):
            if job.state is JobState.WAITING:
                await self._workflows.enqueue(job)  # its process was killed before it did so
            else:
                await self._take_over(job)

    async def _take_over(self, job: Job) -> None:
        answers = await self._count_answers(job.id)
        recoveries = await in_thread(self._table.count_recovery, job, answers)
        if recoveries is not None:
            await self._workflows.enqueue_next(job, job.limit, recoveries, answers)
