"""Capabilities: check, stop and resume jobs."""

from functools import partial
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
from kiln_mcp.workbench.answer_size import fitting_page
from kiln_mcp.workbench.call_options import JobLimit, LimitCalls, LimitSeconds, LimitTokens
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Toolset,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import Refusal
from storage.text.excerpts import excerpt_line

LONGEST_WAIT_S = 30.0
_LONGEST_ERROR = 160
"""Characters of a job's error in a short list."""
_RESUME = "resume_job"
_KINDS = {"cost_usd": "money", "seconds": "time"}


def _as_id(reference: str | None) -> str | None:
    """Return the id of a job, which a client may also give as the address of its page."""
    return None if reference is None else reference.strip().removeprefix("kiln://jobs/")


JobReference = Annotated[
    str,
    AfterValidator(_as_id),
    Field(description="Its id."),
]


@capability(
    effect=Effect.READS,
    title="Check a job",
    discovery=Discovery(
        Heading.JOBS,
        "jobs, status, state, done, finished, finish, ready, complete, still running, currently, "
        "at the moment, going on, how long, how far, remaining, left, ETA, waiting, background "
        "work, queue, cost, spent, spend, spending, budget, tokens, money, so far, yet, failed, "
        "happened, news, any news, update, started, going, stuck, hang, slow, taking so long, "
        "when, soon, minutes, already, result of the job, last job, list jobs, tell me when, "
        "burn, burned, dollars, price, percent, processed, working on, busy, show progress, are "
        "we done, is it done, how far along",
    ),
)
async def check_job(
    workspace: Workspace,
    job: Annotated[
        str | None,
        AfterValidator(_as_id),
        Field(description="The job's id; left out: list the newest jobs."),
    ] = None,
    seconds: Annotated[
        float, Field(ge=0, le=LONGEST_WAIT_S, description="The longest wait.")
    ] = LONGEST_WAIT_S,
    count: Annotated[int, Field(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Field(description="The last next_cursor.")] = None,
) -> JobReport | JobList:
    """Wait for a job and see its progress, costs and result; without an id, list the newest jobs.

    Work orders that wait for you, the model `host`, end the wait and come with the answer.
    """
    if job is not None:
        return await wait_for_job(workspace, job, seconds)
    return await fitting_page(
        workspace.answer_tokens, count, "jobs", partial(list_jobs, workspace, cursor=cursor)
    )


async def wait_for_job(
    workspace: Workspace, job: str, seconds: float = LONGEST_WAIT_S
) -> JobReport:
    """Wait until a job has ended, work orders wait for the caller, or the time is over."""
    return await report_with_orders(workspace, await wait_with_orders(workspace, job, seconds))


async def list_jobs(workspace: Workspace, count: int = 20, cursor: str | None = None) -> JobList:
    """Return the newest jobs with their state, without results.

    Args:
        workspace: Where they run.
        count: The most jobs.
        cursor: The id of a job; the list goes on after it.

    Raises:
        RecordNotFound: The cursor is none of this list.
    """
    if cursor:
        await (await job_client_of(workspace).runner()).find(cursor)
    one_too_many = await job_client_of(workspace).newest(count + 1, cursor or "")
    jobs = one_too_many[:count]
    reports = [await report_of(workspace, job, with_result=False) for job in jobs]
    if workspace.answer_tokens is not None:
        reports = [_in_a_line(report) for report in reports]
    return JobList(jobs=reports, next_cursor=jobs[-1].id if len(one_too_many) > count else None)


@capability(
    effect=Effect.WRITES,
    title="Stop a job",
    discovery=Discovery(
        Heading.JOBS,
        "abort, kill, end, quit, terminate, interrupt, halt, hold, suspend, until tomorrow, "
        "background, expensive, too long, costs too much, money, mistake, never mind, stuck, "
        "enough, pause it, stop everything, don't continue, wait, no more, cut short, early, "
        "picked the wrong, changed my mind, forget it, shut down, cancel the job, jobs, all jobs, "
        "current, process, work, for now, later, tonight, break",
    ),
)
async def stop_job(
    workspace: Workspace,
    job: JobReference,
    pause: Annotated[
        bool,
        Field(description="Wait for the calls in flight, so that no answer is lost."),
    ] = False,
) -> JobReport:
    """Stop a running job: cancel it at once, or pause it; its results are kept.

    resume_job continues it.
    """
    runner = await job_client_of(workspace).runner()
    await (runner.pause(job) if pause else runner.cancel(job))
    return await report_of(workspace, await runner.wait(job, 5))


@capability(
    effect=Effect.SPENDS,
    title="Resume a job",
    discovery=Discovery(
        Heading.JOBS,
        "continue, carry on, pick up, go on, restart, retry, rerun, again, unpause, crash, "
        "crashed, halfway, interrupted, error, failure, stopped, raise the limit, more budget, "
        "left off, unfinished, finish, ran out, give more, more money, dollars, higher limit, "
        "laptop was closed, computer restarted, power, connection lost, network error, rate "
        "limit, continue the job, proceed, keep going, complete the rest, paused yesterday, start "
        "again, second attempt, broke, died",
        toolset=Toolset.ADMIN,
    ),
)
async def resume_job(
    workspace: Workspace,
    job: JobReference,
    limit_usd: Annotated[
        float | None,
        Field(ge=0, description="Higher limits, all attempts together; kinds left out stay."),
    ] = None,
    limit_tokens: LimitTokens = None,
    limit_calls: LimitCalls = None,
    limit_seconds: LimitSeconds = None,
) -> Proposal[JobReport]:
    """Resume a job that failed, was paused, cancelled or set aside, or spent its budget.

    What is paid for is kept. A job that a limit stopped needs a higher one of that kind. Only what
    new limits allow beyond the old ones needs approval.
    """
    runner = await job_client_of(workspace).runner()
    record = await runner.find(job)
    limit = JobLimit.of(
        cost_usd=limit_usd, tokens=limit_tokens, calls=limit_calls, seconds=limit_seconds
    )
    new_limit = limit.override(record.limit)
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


def _in_a_line(report: JobReport) -> JobReport:
    """Return a report whose error is short, without next steps if the job is at rest."""
    error = None if report.error is None else excerpt_line(report.error, _LONGEST_ERROR)
    steps = [step for step in report.next if step.tool != _RESUME]
    return report.model_copy(update={"error": error, "next": steps})
