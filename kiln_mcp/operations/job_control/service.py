"""Capabilities: follow, pause, cancel, resume and list jobs."""

from typing import Annotated

from pydantic import AfterValidator, Field

from kiln_mcp.operations.job_control.answers import JobList, JobReport, resume_step, usage_of
from kiln_mcp.operations.job_control.job_client import job_client_of
from kiln_mcp.operations.job_control.job_reports import (
    report_of,
    report_with_orders,
    wait_with_orders,
)
from kiln_mcp.operations.job_control.limit_texts import raised_kinds
from kiln_mcp.operations.job_control.plans import resume_plan
from kiln_mcp.workbench.call_options import NO_LIMIT, JobLimit
from kiln_mcp.workbench.capability import Effect, Proposal, capability
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import Refusal
from storage.text.excerpts import excerpt_line

LONGEST_WAIT_S = 30.0
_LONGEST_ERROR = 160
"""Characters of a job's error in a short list."""
_RESUME = "resume_job"
_KINDS = {"cost_usd": "money", "seconds": "time"}


def _as_id(reference: str) -> str:
    """Return the id of a job, which a client may also give as the address of its page."""
    return reference.strip().removeprefix("kiln://jobs/")


JobReference = Annotated[
    str,
    AfterValidator(_as_id),
    Field(description="The job's id, as the call that began it answered."),
]


@capability(
    effect=Effect.READS,
    title="Wait for a job",
    search_hint="progress, is it done, status, result of long or background work, cost so far",
)
async def wait_for_job(
    workspace: Workspace,
    job: JobReference,
    seconds: Annotated[
        float, Field(ge=0, le=LONGEST_WAIT_S, description="The longest wait; 30 at most.")
    ] = LONGEST_WAIT_S,
) -> JobReport:
    """Wait until a job has ended or the time is over; say how far it is and what it has spent.

    Work orders that wait for you, the model `host`, end the wait and come with the answer.
    """
    return await report_with_orders(workspace, await wait_with_orders(workspace, job, seconds))


@capability(
    effect=Effect.WRITES,
    title="Cancel or pause a job",
    search_hint="stop, abort, kill or pause what is running",
)
async def cancel_job(
    workspace: Workspace,
    job: JobReference,
    pause: Annotated[
        bool,
        Field(description="Pause it: wait for the calls in flight, so that no answer is lost."),
    ] = False,
) -> JobReport:
    """Stop a job: cancel it at once, or pause it. Its results are kept; resume_job continues."""
    runner = await job_client_of(workspace).runner()
    await (runner.pause(job) if pause else runner.cancel(job))
    return await report_of(workspace, await runner.wait(job, 5))


@capability(
    effect=Effect.SPENDS,
    title="Go on with a job",
    search_hint="continue, retry or restart after a failure, pause or budget limit",
)
async def resume_job(
    workspace: Workspace,
    job: JobReference,
    limit: Annotated[
        JobLimit | None,
        Field(description="Higher limits, all attempts together; kinds left out stay."),
    ] = None,
) -> Proposal[JobReport]:
    """Go on with a job that failed, was paused, cancelled or set aside, or spent its budget.

    What is paid for is kept. A job that a limit stopped needs a higher one of that kind. Only what
    new limits allow beyond the old ones needs approval.
    """
    runner = await job_client_of(workspace).runner()
    record = await runner.find(job)
    new_limit = (limit or NO_LIMIT).override(record.limit)
    report = await report_of(workspace, record)
    if record.stop is not None and record.stop.kind not in raised_kinds(record.limit, new_limit):
        higher = resume_step(record, usage_of(record, report), "go on with this or a higher limit")
        raise Refusal(
            "The job {job} was stopped by its limit in {kind}, and would stop again at once.",
            job=job,
            kind=_KINDS.get(record.stop.kind, record.stop.kind),
            next=[higher],
        )

    async def resume() -> JobReport:
        return await report_of(workspace, await runner.resume(job, new_limit))

    return Proposal(resume_plan(record, report, new_limit), resume)


@capability(
    effect=Effect.READS,
    title="List jobs",
    search_hint="what is running, background work, recent runs, queue",
)
async def list_jobs(
    workspace: Workspace,
    count: Annotated[int, Field(ge=1, le=100, description="How many, newest first.")] = 20,
) -> JobList:
    """List the newest jobs with their state; wait_for_job shows one with its result."""
    jobs = await job_client_of(workspace).newest(count)
    reports = [await report_of(workspace, job, with_result=False) for job in jobs]
    if workspace.answer_tokens is not None:
        reports = [_in_a_line(report) for report in reports]
    return JobList(jobs=reports)


def _in_a_line(report: JobReport) -> JobReport:
    """Return a report whose error is short, without next steps if the job is at rest."""
    error = None if report.error is None else excerpt_line(report.error, _LONGEST_ERROR)
    steps = [step for step in report.next if step.tool != _RESUME]
    return report.model_copy(update={"error": error, "next": steps})
