"""What the capabilities of this room answer."""

from pydantic import Field, JsonValue

from kiln_mcp.capability import Result
from kiln_mcp.jobs import Job, JobState
from kiln_mcp.llm import Spending, Spent, Usage
from kiln_mcp.llm.inventory import ModelDescription
from kiln_mcp.operations.limits import enough_for


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
    plan: str | None = None
    result: dict[str, JsonValue] | None = None
    error: str | None = None
    next_step: str | None = None


class JobList(Result):
    """The newest jobs, newest first."""

    jobs: list[JobReport]


class ModelEntry(Result):
    """A model that can be named."""

    name: str
    ready: bool
    note: str
    input_usd_per_million: float | None = None
    output_usd_per_million: float | None = None
    context_tokens: int | None = None


class ModelList(Result):
    """The models that can be used here."""

    default: str
    models: list[ModelEntry]
    others: str


class ModelTest(Result):
    """What a model said to a short question."""

    model: str
    answer: str
    latency_s: float
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None


class OrderMessage(Result):
    """One message of a work order."""

    role: str
    content: str


class Order(Result):
    """A work order: answer its messages, and nothing else."""

    id: str
    messages: list[OrderMessage]
    answer_schema: dict[str, JsonValue] | None = None
    choices: list[str] | None = None


class OrderList(Result):
    """Work orders for the assistant."""

    orders: list[Order]
    still_waiting: int
    next_step: str


class OrderVerdict(Result):
    """What became of an answer."""

    id: str
    accepted: bool
    problem: str | None = None


class OrderVerdicts(Result):
    """What became of the answers."""

    answers: list[OrderVerdict]
    still_waiting: int


_NEXT = {
    "waiting": "Call wait_for_job.",
    "running": "Call wait_for_job again.",
    "cancelling": "Call wait_for_job again.",
    "pausing": "Call wait_for_job again: it rests once the answers on their way are there.",
    "failed": "Mend what the error says, then call resume_job: what is done is kept.",
    "cancelled": "Call resume_job to go on: what is done is kept.",
    "paused": "Call resume_job to go on: what is done is kept.",
}


def job_report(
    job: Job, spent: tuple[Spending, ...], lost: Spent | None = None, *, whole: bool = True
) -> JobReport:
    """Return a job with what it has spent; `whole` also with its result."""
    usage = sum((entry.usage for entry in spent), Usage(calls=0))
    unpriced = sum(entry.unpriced_calls for entry in spent)
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
        lost_calls=lost.calls or None if lost is not None and job.state.at_rest else None,
        result=dict(job.result) if whole and job.result is not None else None,
        error=job.error,
        next_step=_NEXT.get(job.state.value),
    )
    if job.state is not JobState.STOPPED:
        return report
    asked = f"Call resume_job with {enough_for(job, used_by(job, report))}: what is done is kept."
    return report.model_copy(update={"next_step": asked})


def used_by(job: Job, report: JobReport) -> dict[str, float]:
    """Return what a job has used so far, by the kind of limit that counts it."""
    cost, tokens, calls = report.cost_usd or 0.0, report.tokens, report.calls
    return {"cost_usd": cost, "tokens": tokens, "calls": calls, "seconds": job.worked_s}


def model_entry(model: ModelDescription) -> ModelEntry:
    """Return a model with its price for a million tokens."""
    price = model.price
    return ModelEntry(
        name=model.name,
        ready=model.ready,
        note=model.note,
        input_usd_per_million=None if price is None else round(price.read * 1e6, 4),
        output_usd_per_million=None if price is None else round(price.written * 1e6, 4),
        context_tokens=model.context_tokens,
    )
