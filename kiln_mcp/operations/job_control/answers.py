"""What the capabilities of this room answer."""

from pydantic import Field, JsonValue

from kiln_mcp.jobs import Job, JobState
from kiln_mcp.llm import Expense, Spending, Usage
from kiln_mcp.operations.job_control.limits import amounts, enough_for
from kiln_mcp.workbench.capability import Result


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
        description="Sent and never answered: they count as spent too, at their most.",
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
    next_step: str | None = None


class JobList(Result):
    """The newest jobs, newest first."""

    jobs: list[JobReport]


_NEXT = {
    "waiting": "Call wait_for_job.",
    "running": "Call wait_for_job again.",
    "cancelling": "Call wait_for_job again.",
    "pausing": "Call wait_for_job again: it rests once the answers on their way are there.",
    "failed": "Mend what the error says, then call resume_job: what is done is kept.",
    "cancelled": "Call resume_job to go on: what is done is kept.",
    "set aside": "Tell the person. resume_job takes it up again if they want that: what is done is "
    "kept.",
    "paused": "Call resume_job to go on: what is done is kept.",
}


def job_report(
    job: Job, spent: tuple[Spending, ...], lost: Expense | None = None, *, whole: bool = True
) -> JobReport:
    """Return a job with what it has spent; `whole` also with its result."""
    usage = sum((entry.usage for entry in spent), Usage(calls=0))
    unpriced = sum(entry.unpriced_calls for entry in spent)
    # Before a job is at rest, nobody knows which calls are lost and which on their way.
    gone = lost if lost is not None and job.state.at_rest else Expense()
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
        unpriced_calls=unpriced or None,
        lost_calls=gone.calls or None,
        lost_tokens=gone.tokens or None,
        lost_cost_usd=round(gone.cost_usd, 9) or None,
        limit={kind: most for kind, most in amounts(job.limit).items() if most is not None} or None,
        worked_s=max(0.1, round(job.worked_s, 1)) if job.worked_s else None,
        result=dict(job.result) if whole and job.result is not None else None,
        error=job.error,
        next_step=_NEXT.get(job.state.value),
    )
    if job.state is not JobState.STOPPED:
        return report
    asked = f"Call resume_job with {enough_for(job, used_by(job, report))}: what is done is kept."
    return report.model_copy(update={"next_step": asked})


def used_by(job: Job, report: JobReport) -> dict[str, float]:
    """Return what a job has used so far, by the kind of limit that counts it: lost calls too."""
    cost = (report.cost_usd or 0.0) + (report.lost_cost_usd or 0.0)
    tokens = report.tokens + (report.lost_tokens or 0)
    calls = report.calls + (report.lost_calls or 0)
    return {"cost_usd": cost, "tokens": tokens, "calls": calls, "seconds": job.worked_s}
