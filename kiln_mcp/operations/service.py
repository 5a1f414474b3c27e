"""Capabilities: start and follow long work, look at models, fulfil work orders."""

import json
from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from kiln_mcp.approvals.errors import ApprovalNeeded
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.capability import Effect, capability
from kiln_mcp.jobs import Job
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
    job_report,
    model_entry,
    model_test,
    used_by,
)
from kiln_mcp.operations.desk import desk_of
from kiln_mcp.operations.errors import LimitStands, NoJobOfJobs
from kiln_mcp.operations.limits import JobLimit, enough_for, raised
from kiln_mcp.operations.plans import more_to_spend, within
from kiln_mcp.workspace import Workspace

LONGEST_WAIT_S = 30.0
NO_JOB = "none"
"""Instead of an id, where a tool was done at once."""

_OF_JOBS = frozenset({"start_job", "resume_job"})


def _as_id(reference: str) -> str:
    """Return the id in what a client gives: the address of the job's page is one, too."""
    return reference.strip().removeprefix("kiln://jobs/")


JobReference = Annotated[
    str, AfterValidator(_as_id), Field(description="The job's id, as start_job gave it.")
]


NO_LIMIT = JobLimit()
_UNDER_WAY = "This job was under way already, so none was begun beside it."


async def _report(workspace: Workspace, job: Job, *, whole: bool = True) -> JobReport:
    engine, name = workspace.engine, f"jobs/{job.id}"
    spent, lost = await engine.spending(f"{name}/*"), await engine.unheard(name)
    report = job_report(job, spent, lost, whole=whole)
    waiting = 0 if job.state.at_rest else await engine.orders.open_count(f"{name}/*")
    if waiting:
        questions = "1 question waits" if waiting == 1 else f"{waiting} questions wait"
        asks = f"{questions} for you: call take_work_orders and answer_work_orders"
        report = report.model_copy(update={"next_step": f"{asks}, then wait_for_job again."})
    return report


@capability(effect=Effect.SPENDS, title="Start a job")
async def start_job(
    workspace: Workspace,
    tool: Annotated[str, Field(description="The tool to run, for example run_eval.")],
    arguments: Annotated[
        dict[str, JsonValue], Field(description="The tool's arguments, without confirm.")
    ],
    limit: Annotated[
        JobLimit, Field(description="The most that it may spend; it stops cleanly there.")
    ] = NO_LIMIT,
) -> JobReport:
    """Run any long tool as a job that survives: answers at once with an id, plan and cost.

    The job goes on when this connection ends or the server is restarted, and pays for no model
    call twice. Follow it with wait_for_job.
    """
    if tool in _OF_JOBS:
        raise NoJobOfJobs(tool)
    try:
        result = await workspace.perform(replace(workspace, plan_only=True), tool, arguments)
    except ApprovalNeeded as needed:
        plan = needed.plan
    else:
        # The tool asks no approval for anything: it is quick, and now it is done.
        return JobReport(job=NO_JOB, capability=tool, state="done", result=dict(result))
    runner = await desk_of(workspace).runner()
    given: dict[str, JsonValue] = {**arguments, "confirm": True}
    project = arguments.get("project")
    if isinstance(project, str) and project not in workspace.known.folders():
        # Whoever does the job may have been started in another folder.
        given["project"] = str(await workspace.project_folder(project))
    model = workspace.settings.default_model
    same = await runner.under_way(tool, given, limit.as_budget(), model)
    if same is not None:
        report = await _report(workspace, same)
        return report.model_copy(update={"message": _UNDER_WAY, "plan": same.plan})
    held = within(plan, limit.as_budget())
    workspace.approve(held)
    # Without its limits, which may change: they are said of the job as they are.
    job = await runner.start(tool, given, limit.as_budget(), model, plan.text)
    report = await _report(workspace, job)
    return report.model_copy(update={"plan": held.text})


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
    return await _report(workspace, await runner.wait(job, seconds, workspace.report))


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
    return await _report(workspace, await runner.wait(job, 5))


@capability(effect=Effect.SPENDS, title="Go on with a job")
async def resume_job(
    workspace: Workspace,
    job: JobReference,
    limit: Annotated[
        JobLimit | None,
        Field(description="Higher limits, all attempts together; what is left out stays."),
    ] = None,
) -> JobReport:
    """Go on with a job that failed, was paused or cancelled, or came to the end of its budget.

    What is paid for is kept. A job that a limit stopped needs a higher one of that kind. Only what
    new limits allow beyond the old ones needs approval.
    """
    runner = await desk_of(workspace).runner()
    found = await runner.find(job)
    wanted = (limit or NO_LIMIT).instead_of(found.limit)
    report = await _report(workspace, found)
    if found.stop is not None and found.stop.kind not in raised(found.limit, wanted):
        raise LimitStands(job, found.stop.kind, enough_for(found, used_by(found, report)))
    workspace.approve(more_to_spend(found, report, wanted))
    return await _report(workspace, await runner.resume(job, wanted))


@capability(effect=Effect.READS, title="List jobs")
async def list_jobs(
    workspace: Workspace,
    most: Annotated[int, Field(ge=1, le=100, description="How many, newest first.")] = 20,
) -> JobList:
    """List the newest jobs with their state; wait_for_job shows one with its result."""
    jobs = await desk_of(workspace).newest(most)
    return JobList(jobs=[await _report(workspace, job, whole=False) for job in jobs])


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
) -> ModelTest:
    """Ask a model a few short questions, to see that it answers, how fast, and what it can do.

    One where all is known; else one more each for JSON by schema, logprobs and tools.
    """
    engine = workspace.engine
    await engine.check_ready({model: 1})
    calls = 1 + len(await to_find_out(engine, model))
    questions = "one short question" if calls == 1 else f"{calls} short questions"
    cost = engine.price_of(model, calls)
    workspace.approve(Plan(f"Ask {model} {questions}.", calls=calls, highest_cost_usd=cost))
    trial = await try_model(engine, model, "operations/test_model")
    return model_test(model, trial)


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
