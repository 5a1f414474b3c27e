"""Call a capability through a door: propose, decide, then carry out or follow a job.

Every door but Python's uses `call_capability`, so that an approval, a job and their answers are the
same through all of them. A call that a person declined or has not approved yet is an ordinary
outcome; only failures are raised.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal
from uuid import uuid4

import anyio
import anyio.to_thread
from pydantic import BaseModel, Field, JsonValue

from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.approvals.decision import Consent, PendingApproval, PendingQuestion, Rejection
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.jobs import ApprovedPlan, Job
from kiln_mcp.llm import BudgetLimit
from kiln_mcp.operations.job_control.answers import JobReport
from kiln_mcp.operations.job_control.job_client import job_client_of
from kiln_mcp.operations.job_control.job_reports import report_with_orders, wait_with_orders
from kiln_mcp.operations.job_control.next_steps import complete_answer, complete_errors
from kiln_mcp.operations.job_control.plans import plan_with_limit
from kiln_mcp.operations.job_control.record_ids import with_record_ids
from kiln_mcp.workbench.answer_size import fit
from kiln_mcp.workbench.call_options import CallOptions
from kiln_mcp.workbench.capability import AnyCapability, Effect, JsonObject, Proposal, Result, Runs
from kiln_mcp.workbench.plain_text import plain
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import NextStep, Refusal

NOT_DONE: Final = "Nothing has been done."

_ACTIVE: Final = "This job is under way already, so no second one was started."

OutcomeStatus = Literal["done", "declined", "needs_approval", "asking", "job"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call that did not fail.

    Attributes:
        status: `done`: `data` is the result. `declined`, `needs_approval`: nothing was done, or
            only what needs no approval. `asking`: the client puts the question and repeats the
            call. `job`: a job does it and has not ended as done.
        data: The answer to the caller.
        job: The job's id; empty if there is none.
        whole_data: The answer before it was shortened for an assistant.
    """

    status: OutcomeStatus
    data: dict[str, JsonValue]
    job: str = ""
    whole_data: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])


class ApprovalNotice(Result):
    """The answer to a call that was not carried out, because no person approved it."""

    status: Literal["declined", "needs_approval"]
    plan: str
    approval_id: str | None = None
    message: str
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


@dataclass(frozen=True, slots=True)
class _Request:
    """A call that is to be decided.

    Attributes:
        item: The capability.
        arguments: Its arguments, the project as a folder.
        options: How to make the call.
        proposal: What would be done.
    """

    item: AnyCapability
    arguments: JsonObject
    options: CallOptions
    proposal: Proposal[BaseModel]

    @property
    def is_job(self) -> bool:
        """Whether it becomes a job: work that asks a model, or takes long without one."""
        plan = self.proposal.plan
        return self.item.runs is Runs.AS_JOB and (plan.calls > 0 or plan.is_long)

    @property
    def plan(self) -> Plan:
        """The plan that a person sees: that of the proposal, with the limit of the job."""
        plan = self.proposal.plan
        return plan_with_limit(plan, self.options.limit.as_budget()) if self.is_job else plan

    @property
    def bound_arguments(self) -> JsonObject:
        """The arguments that an approval is bound to, with the job's limit."""
        options = self.options.limit.as_options() if self.is_job else {}
        return {**self.arguments, **options}


async def call_capability(
    workspace: Workspace,
    item: AnyCapability,
    arguments: Mapping[str, JsonValue],
    *,
    wait_s: float | None = None,
    as_job: bool = True,
) -> Outcome:
    """Call a capability for the caller at a door.

    Args:
        workspace: With the door's way to reach the person, if it has one.
        item: The capability.
        arguments: The arguments as they arrived, with the options.
        wait_s: How long to wait for a job; None for the caller's own option.
        as_job: Whether long work may be a job; else this process does it while the caller waits.

    Raises:
        WorkbenchError: The call failed, or its job did.
    """
    values, options = await _arguments(workspace, item, arguments)
    if options.detail == "full":
        workspace = replace(workspace, answer_tokens=None, is_detailed=True)
    request_options = options if wait_s is None else options.model_copy(update={"wait_s": wait_s})
    with complete_errors(values, workspace.needs_of):
        outcome = await _perform(workspace, item, values, request_options, as_job=as_job)
    data = complete_answer(outcome.data, values, workspace.needs_of)
    outcome = replace(outcome, data=data, whole_data=data)
    if workspace.answer_tokens is None:
        return outcome
    step = _step_to_the_rest(item, outcome)
    return replace(outcome, data=fit(outcome.data, step, workspace.answer_tokens))


def step_to_result(job: str) -> NextStep:
    """Return the call that reads all of a job's result."""
    arguments: JsonObject = {"job": job, "detail": "full"}
    return NextStep(tool="check_job", reason="read the whole result", arguments=dict(arguments))


def _step_to_the_rest(item: AnyCapability, outcome: Outcome) -> NextStep | None:
    """Return the call that reads what an answer leaves out; None if single records have it."""
    if "detail" in item.options:
        reason = "the same call, to read the whole answer"
        return NextStep(tool=item.name, reason=reason, arguments={"detail": "full"})
    reports = outcome.data.get("jobs")
    job = outcome.job
    if not job and isinstance(reports, list) and reports and isinstance(reports[0], dict):
        job = str(reports[0].get("job", ""))  # the answers to its work orders
    return step_to_result(job) if job else None


async def _perform(
    workspace: Workspace,
    item: AnyCapability,
    values: JsonObject,
    options: CallOptions,
    *,
    as_job: bool,
) -> Outcome:
    """Make a call whose arguments and options are separated; its answer is whole."""
    account = f"calls/{uuid4().hex}"
    if item.effect is Effect.SPENDS and (item.runs is Runs.AT_ONCE or not as_job):
        budget = await workspace.engine.budget(account, BudgetLimit())
        workspace = replace(workspace, engine=workspace.engine.within(budget))
    request = _Request(item, values, options, await item.propose(workspace, values))
    seconds = options.wait_s
    as_job = as_job and request.is_job
    if as_job and (same := await _active_job(workspace, request)) is not None:
        return _outcome_of_active(await _follow(workspace, same.id, seconds, same.plan))
    call = item.call(request.plan, request.bound_arguments)
    match await workspace.decide(call, item.effect, options.approval_id):
        case PendingQuestion():
            return Outcome("asking", {})
        case Rejection():
            return decline_outcome(request.plan.text)
        case PendingApproval() as waiting:
            return await _pending_outcome(request, waiting)
        case Consent(approval_id) if as_job:
            # A caller who is cancelled meanwhile must learn of the job, or nobody pauses it.
            with _shield():
                job = await _begin(workspace, request, approval_id)
            with _shield() if seconds <= 0 else nullcontext():
                return await _follow(workspace, job, seconds, request.plan.text)
        case Consent(approval_id):
            try:
                return Outcome("done", plain(await request.proposal.carry_out()))
            finally:
                if approval_id:
                    with anyio.CancelScope(shield=True):
                        await workspace.settle(approval_id, account)


@contextmanager
def _shield() -> Generator[None]:
    with anyio.CancelScope(shield=True):
        yield


async def _arguments(
    workspace: Workspace, item: AnyCapability, arguments: Mapping[str, JsonValue]
) -> tuple[JsonObject, CallOptions]:
    """Return arguments and options; an approval's id alone stands for the call it belongs to."""
    values, options = item.separate_options(arguments)
    approval_id = options.approval_id
    if approval_id is not None and not values:
        store = ApprovalStore(workspace.settings.home)
        approval = await anyio.to_thread.run_sync(partial(store.find, approval_id))
        if approval is None or approval.call.tool != item.name:
            raise Refusal(
                "There is no approval '{id}' for {tool}. Call {tool} with its arguments to get the "
                "plan and the approval's id.",
                id=approval_id,
                tool=item.name,
            )
        values, call_options = item.separate_options(approval.call.arguments)
        options = options.model_copy(update=call_options.limit.as_options())
    project = values.get("project")
    if item.proposes and isinstance(project, str):
        # A name may mean another folder by the time that the person has answered.
        values = {**values, "project": str(await workspace.project_folder(project))}
        if item.runs is Runs.AS_JOB:
            values = await with_record_ids(await workspace.open_project(project), values)
    return values, options


async def _active_job(workspace: Workspace, request: _Request) -> Job | None:
    runner = await job_client_of(workspace).runner()
    limit, model = request.options.limit.as_budget(), workspace.settings.default_model
    return await runner.find_active(request.item.name, request.arguments, limit, model)


async def _begin(workspace: Workspace, request: _Request, approval_id: str) -> str:
    runner = await job_client_of(workspace).runner()
    job = await runner.start(
        request.item.name,
        request.arguments,
        request.options.limit.as_budget(),
        workspace.settings.default_model,
        ApprovedPlan(request.proposal.plan, approval_id),
    )
    return job.id


async def _follow(workspace: Workspace, job_id: str, wait_s: float, plan: str) -> Outcome:
    """Wait for a job, but no longer once its questions wait for the caller itself."""
    report = await report_with_orders(workspace, await wait_with_orders(workspace, job_id, wait_s))
    return job_outcome(report.model_copy(update={"plan": plan or None}))


def _outcome_of_active(outcome: Outcome) -> Outcome:
    """Return the outcome of a job that another call started, with a message that says so."""
    if outcome.status != "job":
        return outcome
    return replace(outcome, data={**outcome.data, "message": _ACTIVE})


def job_outcome(report: JobReport) -> Outcome:
    """Return a job as the outcome of the call that started it.

    Raises:
        Refusal: It failed.
    """
    if report.state == "done":
        return Outcome("done", dict(report.result or {}), report.job)
    if report.state == "failed":
        raise Refusal(
            "The job {job} is {state}. {reason}",
            job=report.job,
            state=report.state,
            reason=report.error or "",
            next=report.next,
        )
    at_rest = {"stopped", "cancelled", "paused"}
    status = report.state if report.state in at_rest else "running"
    return Outcome("job", {"status": status, **plain(report)}, report.job)


def decline_outcome(plan: str) -> Outcome:
    """Return the outcome of a call whose plan the person declined."""
    answer = ApprovalNotice(
        status="declined",
        plan=plan,
        message=f"The person declined. {NOT_DONE} Repeat the call only if they ask for it.",
    )
    return Outcome("declined", plain(answer))


async def _pending_outcome(request: _Request, pending: PendingApproval) -> Outcome:
    answer = ApprovalNotice(
        status="needs_approval",
        plan=request.plan.text,
        approval_id=pending.approval_id,
        message=(
            f"{pending.reason} {NOT_DONE} Show the plan to the person, who approves it in a "
            f"terminal with: kiln-mcp approve {pending.approval_id}."
        ),
        next=[
            NextStep(
                tool=request.item.name,
                reason="carry it out after the approval; repeat the arguments or leave them out",
                arguments={"approval_id": pending.approval_id},
            )
        ],
    )
    if request.proposal.before_approval is None:
        return Outcome("needs_approval", plain(answer))
    done = plain(await request.proposal.before_approval(pending.approval_id))
    notice = plain(answer)
    return Outcome(
        "needs_approval",
        {**{name: notice[name] for name in notice if name not in {"message", "next"}}, **done},
    )
