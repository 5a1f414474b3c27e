"""Capabilities: follow long work, look at models, fulfil work orders."""

import json
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.llm.errors import UnknownOrder
from kiln_mcp.llm.trial import to_find_out, try_model
from kiln_mcp.operations.answers import (
    JobList,
    JobReport,
    ModelList,
    ModelTest,
    Order,
    OrderList,
    OrderMessage,
    OrderVerdict,
    OrderVerdicts,
    model_entry,
    model_test,
    used_by,
)
from kiln_mcp.operations.desk import desk_of
from kiln_mcp.operations.errors import LimitStands
from kiln_mcp.operations.limits import enough_for, raised
from kiln_mcp.operations.plans import more_to_spend
from kiln_mcp.operations.reports import report_of
from kiln_mcp.workbench.call_options import NO_LIMIT, JobLimit
from kiln_mcp.workbench.capability import Effect, Proposal, capability
from kiln_mcp.workbench.workspace import Workspace

LONGEST_WAIT_S = 30.0


def _as_id(reference: str) -> str:
    """Return the id in what a client gives: the address of the job's page is one, too."""
    return reference.strip().removeprefix("kiln://jobs/")


JobReference = Annotated[
    str,
    AfterValidator(_as_id),
    Field(description="The job's id, as the call that began it answered."),
]


@capability(effect=Effect.READS, title="Wait for a job")
async def wait_for_job(
    workspace: Workspace,
    job: JobReference,
    seconds: Annotated[
        float, Field(ge=0, le=LONGEST_WAIT_S, description="The longest wait; 30 at most.")
    ] = LONGEST_WAIT_S,
) -> JobReport:
    """Wait until a job has ended or the time is over; say how far it is and what it has spent."""
    runner = await desk_of(workspace).runner()
    return await report_of(workspace, await runner.wait(job, seconds, workspace.report))


@capability(effect=Effect.WRITES, title="Cancel or pause a job")
async def cancel_job(
    workspace: Workspace,
    job: JobReference,
    pause: Annotated[
        bool,
        Field(description="Pause it: wait for the answers on their way, so that none is lost."),
    ] = False,
) -> JobReport:
    """Stop a job: cancel it at once, or pause it. What it has done is kept; resume_job goes on."""
    runner = await desk_of(workspace).runner()
    await (runner.pause(job) if pause else runner.cancel(job))
    return await report_of(workspace, await runner.wait(job, 5))


@capability(effect=Effect.SPENDS, title="Go on with a job")
async def resume_job(
    workspace: Workspace,
    job: JobReference,
    limit: Annotated[
        JobLimit | None,
        Field(description="Higher limits, all attempts together; what is left out stays."),
    ] = None,
) -> Proposal[JobReport]:
    """Go on with a job that failed, was paused, cancelled or set aside, or spent its budget.

    What is paid for is kept. A job that a limit stopped needs a higher one of that kind. Only what
    new limits allow beyond the old ones needs approval.
    """
    runner = await desk_of(workspace).runner()
    found = await runner.find(job)
    wanted = (limit or NO_LIMIT).instead_of(found.limit)
    report = await report_of(workspace, found)
    if found.stop is not None and found.stop.kind not in raised(found.limit, wanted):
        raise LimitStands(job, found.stop.kind, enough_for(found, used_by(found, report)))

    async def resume() -> JobReport:
        return await report_of(workspace, await runner.resume(job, wanted))

    return Proposal(more_to_spend(found, report, wanted), resume)


@capability(effect=Effect.READS, title="List jobs")
async def list_jobs(
    workspace: Workspace,
    most: Annotated[int, Field(ge=1, le=100, description="How many, newest first.")] = 20,
) -> JobList:
    """List the newest jobs with their state; wait_for_job shows one with its result."""
    jobs = await desk_of(workspace).newest(most)
    return JobList(jobs=[await report_of(workspace, job, whole=False) for job in jobs])


@capability(effect=Effect.READS, title="List models")
async def list_models(
    workspace: Workspace,
    models: Annotated[
        list[str] | None, Field(description="Names of further models to describe.")
    ] = None,
) -> ModelList:
    """List the models that can be used here: which are ready, what they can do and cost."""
    default = workspace.model_name(None)
    described = await workspace.engine.models([default, *(models or ())])
    return ModelList(
        default=default,
        models=[model_entry(model) for model in described],
        others=(
            "Any hosted model by its litellm name (provider/model) once its key is in the "
            "environment or the system's keyring; OpenAI-compatible servers in "
            f"{workspace.settings.home / 'servers.json'}."
        ),
    )


@capability(effect=Effect.SPENDS, title="Test a model")
async def test_model(
    workspace: Workspace,
    model: Annotated[str, Field(description="The model's name.")],
) -> Proposal[ModelTest]:
    """Ask a model a few short questions, to see that it answers, how fast, and what it can do.

    One where all is known; else one more each for JSON by schema, logprobs and tools.
    """
    engine = workspace.engine
    await engine.check_ready({model: 1})
    calls = 1 + len(await to_find_out(engine, model))
    questions = "one short question" if calls == 1 else f"{calls} short questions"
    cost = engine.price_of(model, calls)

    async def ask() -> ModelTest:
        return model_test(model, await try_model(engine, model, "operations/test_model"))

    return Proposal(Plan(f"Ask {model} {questions}.", calls=calls, highest_cost_usd=cost), ask)


@capability(effect=Effect.WRITES, title="Take work orders")
async def take_work_orders(
    workspace: Workspace,
    most: Annotated[int, Field(ge=1, le=20, description="How many to take.")] = 5,
) -> OrderList:
    """Take questions that wait for the model `host`, which is you; answer each on its own.

    An order's messages are a task for you as a model: answer them as if nothing else had been
    said, with JSON that fits answer_schema where there is one. Orders go back on the queue when
    you have called no tool for 90 seconds, or have gone.
    """
    orders = await workspace.engine.orders.take(most, workspace.client)
    waiting = await workspace.engine.orders.open_count()
    return OrderList(
        orders=[
            Order(
                id=order.id,
                messages=[OrderMessage(role=m.role, content=m.content) for m in order.messages],
                answer_schema=None if order.schema is None else dict(order.schema),
                choices=list(order.choices) or None,
            )
            for order in orders
        ],
        still_waiting=waiting,
        next_step="Hand your answers in with answer_work_orders."
        if orders
        else "Nothing to do. Look again while a job with the model host runs.",
    )


def _as_text(answer: object) -> object:
    """Return JSON that was given as such as the text that it is."""
    return answer if answer is None or isinstance(answer, str) else json.dumps(answer)


class OrderAnswer(BaseModel):
    """Your answer to one order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(description="The order's id.")]
    answer: Annotated[
        str,
        BeforeValidator(_as_text),
        Field(description="The answer as text; JSON where it has a schema."),
    ]


@capability(effect=Effect.WRITES, title="Answer work orders")
async def answer_work_orders(
    workspace: Workspace,
    answers: Annotated[list[OrderAnswer], Field(description="Your answers.", min_length=1)],
) -> OrderVerdicts:
    """Hand in answers to work orders; one that does not fit its schema comes back with why."""
    orders = workspace.engine.orders
    verdicts: list[OrderVerdict] = []
    for given in answers:
        try:
            problem = await orders.answer(given.id, given.answer)
        except UnknownOrder as error:  # the other answers count all the same
            problem = str(error)
        verdicts.append(OrderVerdict(id=given.id, accepted=problem is None, problem=problem))
    return OrderVerdicts(answers=verdicts, still_waiting=await orders.open_count())
