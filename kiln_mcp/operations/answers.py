"""What the capabilities of this room answer."""

from collections.abc import Callable
from typing import NamedTuple

from pydantic import Field, JsonValue

from kiln_mcp.jobs import Job, JobState
from kiln_mcp.llm import Spending, Spent, Usage
from kiln_mcp.llm.abilities import TITLES, Abilities, Ability
from kiln_mcp.llm.prices import FREE, Price
from kiln_mcp.llm.providers.descriptions import ModelDescription
from kiln_mcp.llm.trial import Trial
from kiln_mcp.operations.limits import amounts, enough_for
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


class ModelEntry(Result):
    """A model that can be named."""

    name: str
    also: list[str] | None = Field(
        default=None, description="More models of its server, of which all of this holds too."
    )
    more: str | None = None
    ready: bool | None = Field(default=None, description="Left out where it is not known.")
    note: str | None = Field(
        default=None, description="Left out: that of the model before it, of the same server."
    )
    price: str
    input_usd_per_million: float | None = None
    output_usd_per_million: float | None = None
    context_tokens: int | None = None
    can: str | None = Field(
        default=None,
        description="`seen`: an answer showed it. `in words`: asked in words, checked.",
    )
    cannot: str | None = None
    not_known: str | None = Field(default=None, description="test_model finds it out.")


class ModelList(Result):
    """The models that can be used here."""

    default: str
    models: list[ModelEntry]
    others: str


class ModelTest(Result):
    """What a model said to a short question, and what further ones showed that it can do."""

    model: str
    answer: str
    latency_s: float
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None = None
    price: str
    can: str | None = Field(default=None, description="`seen`: an answer showed it.")
    cannot: str | None = None
    not_known: str | None = None
    problems: list[str] = Field(default_factory=list)


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
    "set aside": "Tell the person. resume_job takes it up again if they want that: what is done is "
    "kept.",
    "paused": "Call resume_job to go on: what is done is kept.",
}


def job_report(
    job: Job, spent: tuple[Spending, ...], lost: Spent | None = None, *, whole: bool = True
) -> JobReport:
    """Return a job with what it has spent; `whole` also with its result."""
    usage = sum((entry.usage for entry in spent), Usage(calls=0))
    unpriced = sum(entry.unpriced_calls for entry in spent)
    # Before a job is at rest, nobody knows which calls are lost and which on their way.
    gone = lost if lost is not None and job.state.at_rest else Spent()
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


def model_entry(model: ModelDescription) -> ModelEntry:
    """Return a model with its price for a million tokens."""
    price = model.price
    known = _known(model.abilities)
    return ModelEntry(
        name=model.name,
        also=list(model.also) or None,
        more=f"And {model.unnamed} more: name one in `models`." if model.unnamed else None,
        ready=model.ready,
        note=model.note or None,
        price=said_of_price(price),
        input_usd_per_million=None if price is None else round(price.read * 1e6, 4),
        output_usd_per_million=None if price is None else round(price.written * 1e6, 4),
        context_tokens=model.context_tokens,
        can=known.can,
        cannot=known.cannot,
        not_known=known.not_known,
    )


def model_test(model: str, trial: Trial) -> ModelTest:
    """Return what a model answered, and what that taught."""
    known = _known(trial.description.abilities)
    return ModelTest(
        model=model,
        answer=trial.answer.text,
        latency_s=round(trial.answer.latency_s, 3),
        calls=trial.usage.calls,
        input_tokens=trial.usage.input_tokens,
        output_tokens=trial.usage.output_tokens,
        cost_usd=trial.usage.cost_usd,
        price=said_of_price(trial.description.price),
        can=known.can,
        cannot=known.cannot,
        not_known=known.not_known,
        problems=list(trial.problems),
    )


_HOW = {Ability.SEEN, Ability.REFUSED, Ability.IN_WORDS}


class _Known(NamedTuple):
    can: str | None
    cannot: str | None
    not_known: str | None


def _known(abilities: Abilities) -> _Known:
    """Return what can be done, what cannot, and what is not known, in words."""
    by_feature = abilities.by_feature().items()

    def those(wanted: Callable[[Ability], bool]) -> str | None:
        named = [
            f"{TITLES[feature]} ({how.value})" if how in _HOW else TITLES[feature]
            for feature, how in by_feature
            if wanted(how)
        ]
        return ", ".join(named) or None

    return _Known(
        those(lambda how: how.is_there),
        those(lambda how: how.is_missing),
        those(lambda how: how is Ability.UNKNOWN),
    )


def said_of_price(price: Price | None) -> str:
    """Return what a model costs, in words."""
    if price is None:
        return "price not known"
    if price == FREE:
        return "free"
    return f"${price.read * 1e6:.4g} read, ${price.written * 1e6:.4g} written, a million tokens"
