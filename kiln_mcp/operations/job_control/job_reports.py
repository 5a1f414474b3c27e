"""Report a job: its state, its costs, and its next steps."""

import anyio

from kiln_mcp.jobs import Job
from kiln_mcp.llm.providers.work_orders import LEASE_S
from kiln_mcp.operations.job_control.answers import JobReport, job_report
from kiln_mcp.operations.job_control.job_client import job_client_of
from kiln_mcp.operations.work_orders.batches import (
    gather_orders,
    has_orders,
    take_batches,
    takeable_count,
)
from kiln_mcp.operations.work_orders.order_sampler import OrderSampler
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import NextStep


async def report_of(workspace: Workspace, job: Job, *, with_result: bool = True) -> JobReport:
    """Return the report of a job, with the questions that wait for the host."""
    engine, name = workspace.engine, f"jobs/{job.id}"
    entries, open_usage = await engine.spending(f"{name}/*"), await engine.unanswered_expense(name)
    report = job_report(job, entries, open_usage, with_result=with_result)
    waiting = await questions_of(workspace, job.id) if job.state.needs_answers else 0
    if not waiting:
        return report
    if workspace.takes_orders:
        takeable = await takeable_count(workspace, _asker_of(job.id))
        if not takeable:
            return report.model_copy(update={"next": [_step_of_orders_elsewhere(job.id, waiting)]})
        waiting = takeable
    questions = "1 question waits" if waiting == 1 else f"{waiting} questions wait"
    step = NextStep(tool="answer_work_orders", reason=f"{questions} for you; answer them")
    return report.model_copy(update={"next": [step, *report.next]})


async def report_with_orders(workspace: Workspace, job: Job) -> JobReport:
    """Return the report of a job, with its first work orders if a model reads it."""
    report = await report_of(workspace, job)
    if not job.state.needs_answers or not workspace.takes_orders:
        return report
    asker = _asker_of(job.id)
    await gather_orders(workspace, asker)
    batches = await take_batches(workspace, asker)
    if not batches:
        return report
    step = NextStep(tool="answer_work_orders", reason="answer the orders above; the next ones come")
    return report.model_copy(update={"orders": batches, "next": [step]})


async def wait_with_orders(workspace: Workspace, job_id: str, wait_s: float) -> Job:
    """Wait for a job, but no longer once its questions wait for the client that calls.

    A client that lets servers ask its model is asked them meanwhile.

    Args:
        workspace: Of the client.
        job_id: The job.
        wait_s: The longest wait.

    Raises:
        RecordNotFound: No job has this id.
    """
    runner = await job_client_of(workspace).runner()
    job_id = (await runner.find(job_id)).id  # it may be the beginning of one
    asker, sampler = _asker_of(job_id), workspace.sampler
    if not workspace.takes_orders:  # they are for an assistant to answer
        return await runner.wait(job_id, wait_s, workspace.report)
    if sampler is None:

        async def has_questions(job: Job) -> bool:
            return job.state.needs_answers and await has_orders(workspace, asker)

        return await runner.wait(job_id, wait_s, workspace.report, has_questions)
    sampling = OrderSampler(workspace, sampler, asker)

    async def client_declined(_job: Job) -> bool:
        return sampling.has_stopped

    async with anyio.create_task_group() as group:
        group.start_soon(sampling.run)
        await runner.wait(job_id, wait_s, workspace.report, client_declined)
        group.cancel_scope.cancel()
    return await runner.find(job_id)


async def questions_of(workspace: Workspace, job_id: str) -> int:
    """Return how many questions of a job wait for the model `host`."""
    return await workspace.engine.orders.open_count(_asker_of(job_id))


def _step_of_orders_elsewhere(job_id: str, count: int) -> NextStep:
    """Return what a client can do about questions that another client has taken."""
    questions = "1 question is" if count == 1 else f"{count} questions are"
    minutes = f"{LEASE_S / 60:g} minutes"
    reason = f"{questions} with another client; yours if it has not answered in {minutes}"
    return NextStep(tool="check_job", arguments={"job": job_id}, reason=reason)


def _asker_of(job_id: str) -> str:
    return f"jobs/{job_id}/*"
