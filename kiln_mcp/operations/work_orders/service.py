"""Capability: answer the work orders of the model `host`, and take the next ones."""

import json
from typing import Annotated

import anyio
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kiln_mcp.jobs import Job
from kiln_mcp.llm.errors import UnknownOrder
from kiln_mcp.operations.job_control.answers import JobReport
from kiln_mcp.operations.job_control.job_client import job_client_of
from kiln_mcp.operations.job_control.job_reports import report_of
from kiln_mcp.operations.work_orders.answers import Batch, OrderProblem
from kiln_mcp.operations.work_orders.batches import (
    MOST_TOKENS,
    gather_orders,
    take_batches,
    takeable_count,
)
from kiln_mcp.workbench.call_options import USUAL_WAIT_S
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Result,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import NextStep

LONGEST_WAIT_S = 60.0
SHOW_AGAIN_S = 5.0


def _as_text(answer: object) -> object:
    """Return an answer that arrived as JSON as its text."""
    return answer if answer is None or isinstance(answer, str) else json.dumps(answer)


class OrderAnswer(BaseModel):
    """Your answer to one order."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: str
    answer: Annotated[
        str,
        BeforeValidator(_as_text),
        Field(description="JSON if the batch has an answer_schema."),
    ]


class WorkOrderTurn(Result):
    """What became of the answers, the next orders, and the jobs that have ended."""

    accepted: int
    problems: list[OrderProblem] = Field(
        default=[],
        description="Answers that cannot be used; correct them, up to 3 attempts an order.",
    )
    orders: list[Batch] = Field(default=[], description="The next orders to answer.")
    still_waiting: int = Field(default=0, description="Further orders, beside those above.")
    jobs: list[JobReport] = Field(default=[], description="The jobs, with results at their end.")
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


@capability(
    effect=Effect.WRITES,
    title="Answer work orders",
    discovery=Discovery(
        Heading.JOBS,
        "host, act as or be the model, assistant, chat, subscription, without an API key, no key, "
        "waiting, pending, open questions, work orders, batch, reply, respond, play the model, "
        "local, free, answer in place of, answer the prompts, answer the questions, take orders, "
        "order, next question, use Claude itself, use this chat, use yourself, generate here, "
        "inline, human in place of the model, manual answers, outputs by hand, no external model, "
        "questions of a job",
    ),
)
async def answer_work_orders(
    workspace: Workspace,
    answers: Annotated[
        list[OrderAnswer],
        Field(description="By the orders' ids; empty: only take orders."),
    ] = [],  # noqa: B006 - pydantic copies defaults
    most_tokens: Annotated[
        int, Field(ge=500, le=100_000, description="Of orders to take.")
    ] = MOST_TOKENS,
    wait_s: Annotated[
        float,
        Field(ge=0, le=LONGEST_WAIT_S),
    ] = USUAL_WAIT_S,
) -> WorkOrderTurn:
    """Answer what waits for you as the model `host`; get the next questions, or the job's result.

    Answer each item of a batch alone: put its content in place of {{item}} in the messages, and
    use no other context. Repeat until no orders come back. Without answers you get the orders that
    wait, and those that you have taken.
    """
    accepted, problems, askers = 0, list[OrderProblem](), dict[str, None]()
    for item in answers:
        try:
            order = await workspace.engine.orders.find(item.id)
        except UnknownOrder as error:  # the other answers still count
            problems.append(OrderProblem(id=item.id, problem=str(error)))
            continue
        problem = await workspace.engine.orders.answer_order(order, item.answer, workspace.caller)
        askers[order.asker] = None
        accepted += problem is None
        if problem is not None:
            problems.append(OrderProblem(id=item.id, problem=problem))
    jobs = await _wait_for_orders(workspace, _jobs_of(askers), wait_s)
    batches = await take_batches(workspace, most_tokens=most_tokens)
    order_count = sum(len(batch.items) for batch in batches)
    reports = [await report_of(workspace, job) for job in jobs if job.state.at_rest or not batches]
    return WorkOrderTurn(
        accepted=accepted,
        problems=problems,
        orders=batches,
        still_waiting=max(0, await takeable_count(workspace) - order_count),
        jobs=[report.model_copy(update={"next": []}) for report in reports],
        next=_next_steps(batches, reports),
    )


def _jobs_of(askers: dict[str, None]) -> list[str]:
    """Return the ids of the jobs among some askers, which are paths."""
    parts = [asker.split("/") for asker in askers]
    return list(dict.fromkeys(part[1] for part in parts if part[0] == "jobs" and len(part) > 1))


async def _wait_for_orders(workspace: Workspace, job_ids: list[str], wait_s: float) -> list[Job]:
    """Wait until the client can take orders, or all jobs are at rest; return the jobs.

    Without jobs, all that are not at rest are waited for.
    """
    if not job_ids:
        job_ids = [job.id for job in await job_client_of(workspace).unfinished_jobs()]
    shown_at = anyio.current_time()
    with anyio.move_on_after(wait_s):
        while not await takeable_count(workspace):
            if all(job.state.at_rest for job in await _find_all(workspace, job_ids)):
                break
            if anyio.current_time() - shown_at >= SHOW_AGAIN_S:
                shown_at = anyio.current_time()
                await workspace.report(0, None, "No new work orders yet; the job goes on.")
            await anyio.sleep(workspace.settings.poll_s)
        await gather_orders(workspace)
    return await _find_all(workspace, job_ids)


async def _find_all(workspace: Workspace, job_ids: list[str]) -> list[Job]:
    """Return jobs by their ids; without ids, nothing is opened."""
    if not job_ids:
        return []
    runner = await job_client_of(workspace).runner()
    return [await runner.find(job_id) for job_id in job_ids]


def _next_steps(batches: list[Batch], reports: list[JobReport]) -> list[NextStep]:
    if batches:
        return [NextStep(tool="answer_work_orders", reason="answer the orders above")]
    steps = [step for report in reports for step in report.next]
    if any(report.state in {"waiting", "running"} for report in reports):
        repeat = NextStep(tool="answer_work_orders", reason="ask again: the job still works")
        return [repeat, *steps]
    return steps
