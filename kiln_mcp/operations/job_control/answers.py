"""What the capabilities about jobs answer."""

from collections.abc import Mapping
from typing import Final

from pydantic import Field, JsonValue

from kiln_mcp.jobs import Job, JobState
from kiln_mcp.llm import Expense, Spending, Usage
from kiln_mcp.operations.job_control.limit_texts import amounts, sufficient_limit
from kiln_mcp.operations.work_orders.answers import Batch
from kiln_mcp.workbench.call_options import limit_options
from kiln_mcp.workbench.capability import Result
from storage.errors import NextStep


class JobReport(Result):
    """A job as it is now."""

    job: str
    capability: str
    state: str
    done: float = 0
    total: float | None = None
    message: str | None = None
    calls: int = 0
    tokens: int = 0
    cost_usd: float | None = None
    unpriced_calls: int | None = None
    lost_calls: int | None = Field(
        default=None,
        description="Sent and never answered: they count as spent, at their highest cost.",
    )
    lost_tokens: int | None = None
    lost_cost_usd: float | None = None
    limit: dict[str, float] | None = Field(
        default=None, description="The most that it may take, all attempts together."
    )
    worked_s: float | None = Field(default=None, description="Seconds of work so far.")
    plan: str | None = None
    result: dict[str, JsonValue] | None = None
    error: str | None = None
    orders: list[Batch] = Field(
        default=[], description="Work orders for you as the model `host`; answer each."
    )
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


class JobList(Result):
    """The newest jobs, newest first."""

    jobs: list[JobReport]
    next_cursor: str | None = None


_FOLLOW = "follow it"
_GO_ON = "go on; what is done is kept"
_REASONS: Final[Mapping[JobState, str]] = {
    JobState.WAITING: _FOLLOW,
    JobState.RUNNING: _FOLLOW,
    JobState.CANCELLING: _FOLLOW,
    JobState.PAUSING: "follow it; it rests once its calls in flight are answered",
    JobState.FAILED: "go on once the cause in `error` is gone; what is done is kept",
    JobState.STOPPED: "go on with this or another higher limit; what is done is kept",
    JobState.CANCELLED: _GO_ON,
    JobState.PAUSED: _GO_ON,
    JobState.SET_ASIDE: "take it up again, if the person wants that; what is done is kept",
}


def job_report(
    job: Job,
    entries: tuple[Spending, ...],
    open_usage: Expense | None = None,
    *,
    with_result: bool = True,
) -> JobReport:
    """Return the report of a job.

    Args:
        job: The job.
        entries: What its answered calls have used.
        open_usage: What its calls without an answer may have used.
        with_result: Whether the report holds the job's result.
    """
    usage = sum((entry.usage for entry in entries), Usage(calls=0))
    unpriced_calls = sum(entry.unpriced_calls for entry in entries)
    # Before a job is at rest, nobody knows which calls are lost and which in flight.
    lost_usage = open_usage if open_usage is not None and job.state.at_rest else Expense()
    report = JobReport(
        job=job.id,
        capability=job.capability,
        state=job.state.value,
        done=job.progress.done,
        total=job.progress.total,
        message=job.progress.message or None,
        calls=usage.calls,
        tokens=usage.input_tokens + usage.output_tokens,
        cost_usd=None if usage.cost_usd is None else round(usage.cost_usd, 9),
        unpriced_calls=unpriced_calls or None,
        lost_calls=lost_usage.calls or None,
        lost_tokens=lost_usage.tokens or None,
        lost_cost_usd=round(lost_usage.cost_usd, 9) or None,
        limit={k: amount for k, amount in amounts(job.limit).items() if amount is not None} or None,
        worked_s=max(0.1, round(job.worked_s, 1)) if job.worked_s else None,
        result=dict(job.result) if with_result and job.result is not None else None,
        error=job.error,
    )
    return report.model_copy(update={"next": _next_steps(job, report)})


def _next_steps(job: Job, report: JobReport) -> list[NextStep]:
    if job.state is JobState.DONE:
        return []
    reason = _REASONS[job.state]
    if not job.state.at_rest:
        return [NextStep(tool="check_job", reason=reason, arguments={"job": job.id})]
    if job.state is JobState.STOPPED:
        return [resume_step(job, usage_of(job, report), reason)]
    return [NextStep(tool="resume_job", reason=reason, arguments={"job": job.id})]


def resume_step(job: Job, usage: Mapping[str, float], reason: str) -> NextStep:
    """Return the call that lets a stopped job go on, with a limit that is high enough."""
    options = limit_options(sufficient_limit(job, usage))
    return NextStep(tool="resume_job", reason=reason, arguments={"job": job.id, **options})


def usage_of(job: Job, report: JobReport) -> dict[str, float]:
    """Return what a job has used so far by kind of limit, lost calls included."""
    cost = (report.cost_usd or 0.0) + (report.lost_cost_usd or 0.0)
    tokens = report.tokens + (report.lost_tokens or 0)
    calls = report.calls + (report.lost_calls or 0)
    return {"cost_usd": cost, "tokens": tokens, "calls": calls, "seconds": job.worked_s}
