"""Call a capability through a door: propose, decide, then carry out or follow a job.

Every door but Python's uses `call_capability`, so that an approval, a job and their answers are the
same through all of them. What a person declined or has not approved yet is an ordinary outcome;
only failures are raised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal
from uuid import uuid4

import anyio
import anyio.to_thread
from pydantic import BaseModel, JsonValue

from kiln_mcp.approvals.decision import Consent, PendingApproval, PendingQuestion, Rejection
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.approvals.store import ApprovalStore
from kiln_mcp.jobs import Agreement, Job
from kiln_mcp.llm import BudgetLimit
from kiln_mcp.operations.job_control.answers import JobReport
from kiln_mcp.operations.job_control.desk import desk_of
from kiln_mcp.operations.job_control.errors import JobNotDone
from kiln_mcp.operations.job_control.plans import within
from kiln_mcp.operations.job_control.reports import questions_of, report_of
from kiln_mcp.workbench.call_options import NO_LIMIT, CallOptions
from kiln_mcp.workbench.capability import AnyCapability, Effect, JsonObject, Proposal, Result, Runs
from kiln_mcp.workbench.plain_text import plain
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import WorkbenchError

NOT_DONE: Final = "Nothing has been done."

_UNDER_WAY: Final = "This job was under way already, so none was begun beside it."

OutcomeStatus = Literal["done", "declined", "needs_approval", "asking", "job"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call that did not fail.

    Attributes:
        status: `done`: `data` is the result. `declined`, `needs_approval`: nothing was done, or
            only what needs no approval. `asking`: the client puts the question and repeats the
            call. `job`: a job does it and has not ended as done.
        data: What the caller gets.
        job: The job's id; empty if none was begun.
    """

    status: OutcomeStatus
    data: dict[str, JsonValue]
    job: str = ""


class NotApproved(Result):
    """A call that was not carried out, because no person approved it."""

    status: Literal["declined", "needs_approval"]
    plan: str
    approval_id: str | None = None
    next_step: str


@dataclass(frozen=True, slots=True)
class _Request:
    """A call as it is decided about.

    Attributes:
        item: The capability.
        arguments: What to do, the project by its folder.
        options: How to do it.
        proposal: What would be done.
    """

    item: AnyCapability
    arguments: JsonObject
    options: CallOptions
    proposal: Proposal[BaseModel]

    @property
    def is_job(self) -> bool:
        """Whether it is long work; without a model call it is carried out directly."""
        return self.item.runs is Runs.AS_JOB and self.proposal.plan.calls > 0

    @property
    def plan(self) -> Plan:
        """What a person is asked: the proposal's plan within the limit of the job."""
        plan = self.proposal.plan
        return within(plan, self.options.limit.as_budget()) if self.is_job else plan

    @property
    def bound_arguments(self) -> JsonObject:
        """What an approval is bound to: the arguments with the job's limit."""
        limit = self.options.limit
        if not self.is_job or limit == NO_LIMIT:
            return self.arguments
        return {**self.arguments, "limit": limit.model_dump(exclude_none=True)}


async def call_capability(
    workspace: Workspace,
    item: AnyCapability,
    arguments: Mapping[str, JsonValue],
    *,
    wait_s: float | None = None,
    as_job: bool = True,
) -> Outcome:
    """Call a capability for whoever stands at a door.

    Args:
        workspace: With the door's way to reach the person, if it has one.
        item: What is called.
        arguments: As they arrived, options included.
        wait_s: How long to wait for a job; None for what the caller chose.
        as_job: Whether long work may be a job; else this process does it while the caller waits.

    Raises:
        WorkbenchError: The call failed, or its job did.
    """
    given, options = await _arguments(workspace, item, arguments)
    account = f"calls/{uuid4().hex}"
    if item.effect is Effect.SPENDS and (item.runs is Runs.AT_ONCE or not as_job):
        budget = await workspace.engine.budget(account, BudgetLimit())
        workspace = replace(workspace, engine=workspace.engine.within(budget))
    request = _Request(item, given, options, await item.propose(workspace, given))
    seconds = options.wait_s if wait_s is None else wait_s
    as_job = as_job and request.is_job
    if as_job and (same := await _under_way(workspace, request)) is not None:
        return _joined(await _follow(workspace, same.id, seconds, same.plan))
    call = item.call(request.plan, request.bound_arguments)
    match await workspace.decide(call, item.effect, options.approval_id):
        case PendingQuestion():
            return Outcome("asking", {})
        case Rejection():
            return _declined(request.plan)
        case PendingApproval() as waiting:
            return await _waiting(request, waiting)
        case Consent(approval_id) if as_job:
            job = await _begin(workspace, request, approval_id)
            return await _follow(workspace, job, seconds, request.plan.text)
        case Consent(approval_id):
            try:
                return Outcome("done", plain(await request.proposal.carry_out()))
            finally:
                if approval_id:
                    with anyio.CancelScope(shield=True):
                        await workspace.settle(approval_id, account)


async def _arguments(
    workspace: Workspace, item: AnyCapability, arguments: Mapping[str, JsonValue]
) -> tuple[JsonObject, CallOptions]:
    """Return what to do and how; an approval's id alone stands for the call it was asked for."""
    given, options = item.split(arguments)
    named = options.approval_id
    if named is not None and not given:
        store = ApprovalStore(workspace.settings.home)
        found = await anyio.to_thread.run_sync(partial(store.find, named))
        if found is None or found.call.tool != item.name:
            raise WorkbenchError(
                f"There is no approval {named[:40]!r} for {item.name}. Call {item.name} with its "
                "arguments to get the plan and the approval's id."
            )
        given, stored = item.split(found.call.arguments)
        options = options.model_copy(update={"limit": stored.limit})
    project = given.get("project")
    if item.proposes and isinstance(project, str):
        # A name may stand for another folder by the time that the person has answered.
        given = {**given, "project": str(await workspace.project_folder(project))}
    return given, options


async def _under_way(workspace: Workspace, request: _Request) -> Job | None:
    runner = await desk_of(workspace).runner()
    limit, model = request.options.limit.as_budget(), workspace.settings.default_model
    return await runner.under_way(request.item.name, request.arguments, limit, model)


async def _begin(workspace: Workspace, request: _Request, approval_id: str) -> str:
    runner = await desk_of(workspace).runner()
    job = await runner.start(
        request.item.name,
        request.arguments,
        request.options.limit.as_budget(),
        workspace.settings.default_model,
        Agreement(request.proposal.plan, approval_id),
    )
    return job.id


async def _follow(workspace: Workspace, job_id: str, wait_s: float, plan: str) -> Outcome:
    """Wait for a job; not longer where its questions wait for the caller itself."""
    runner = await desk_of(workspace).runner()

    async def asks_the_caller() -> bool:
        return await questions_of(workspace, job_id) > 0

    job = await runner.wait(job_id, wait_s, workspace.report, asks_the_caller)
    report = await report_of(workspace, job)
    return job_outcome(report.model_copy(update={"plan": plan or None}))


def _joined(outcome: Outcome) -> Outcome:
    """Return what came of a job that another call had begun."""
    if outcome.status != "job":
        return outcome
    return replace(outcome, data={**outcome.data, "message": _UNDER_WAY})


def job_outcome(report: JobReport) -> Outcome:
    """Return a job as the outcome of the call that began it.

    Raises:
        JobNotDone: It failed.
    """
    if report.state == "done":
        return Outcome("done", dict(report.result or {}), report.job)
    if report.state == "failed":
        raise JobNotDone(report.job, report.state, report.error)
    at_rest = {"stopped", "cancelled", "paused"}
    status = report.state if report.state in at_rest else "running"
    return Outcome("job", {"status": status, **plain(report)}, report.job)


def _declined(plan: Plan) -> Outcome:
    answer = NotApproved(
        status="declined",
        plan=plan.text,
        next_step=f"The person declined. {NOT_DONE} Repeat the call only if they ask for it.",
    )
    return Outcome("declined", plain(answer))


async def _waiting(request: _Request, waiting: PendingApproval) -> Outcome:
    answer = NotApproved(
        status="needs_approval",
        plan=request.plan.text,
        approval_id=waiting.approval_id,
        next_step=(
            f"{waiting.reason} {NOT_DONE} Show the plan to the person, who approves it in a "
            f"terminal with: kiln-mcp approve {waiting.approval_id}. Then call "
            f'{request.item.name} with approval_id="{waiting.approval_id}" alone, or beside the '
            "same arguments."
        ),
    )
    if request.proposal.unapproved is None:
        return Outcome("needs_approval", plain(answer))
    done = plain(await request.proposal.unapproved(waiting.approval_id))
    kept = {name: value for name, value in plain(answer).items() if name != "next_step"}
    return Outcome("needs_approval", {**kept, **done})
