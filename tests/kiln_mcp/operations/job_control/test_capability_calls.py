"""What decides whether a call is carried out, whatever the caller passes."""

import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
from pydantic import JsonValue

from kiln_mcp.approvals.approval import ApprovalState, Door, ProposedCall
from kiln_mcp.approvals.approval_store import VALID_S, ApprovalStore
from kiln_mcp.approvals.decision import Reply
from kiln_mcp.approvals.plan import Effect, Plan
from kiln_mcp.approvals.policy import DailyAllowance, Policy, write_policy
from kiln_mcp.catalogue import Catalogue
from kiln_mcp.llm import EngineSettings
from kiln_mcp.operations.job_control import service
from kiln_mcp.operations.job_control.capability_calls import call_capability
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.capability import Proposal, Result, Runs, capability
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import Refusal, WorkbenchError


@dataclass
class Person:
    """A person who answers in one way."""

    reply: Reply
    questions: list[str] = field(default_factory=list[str])
    door: Door = Door.ELICITATION

    async def ask(self, call: ProposedCall) -> Reply:
        self.questions.append(call.plan.text)
        return self.reply


class Done(Result):
    text: str


usage_values: list[float] = []


@capability(effect=Effect.SPENDS, title="Spend")
async def spend(workspace: Workspace, amount: float) -> Proposal[Done]:
    """Spend money."""

    async def carry_out() -> Done:
        usage_values.append(amount)
        return Done(text=f"spent {amount}")

    return Proposal(Plan(f"Spend {amount}.", calls=1, highest_cost_usd=amount), carry_out)


@capability(effect=Effect.SPENDS, title="Spend slowly", runs=Runs.AS_JOB)
async def spend_slowly(workspace: Workspace, amount: float, calls: int = 1) -> Proposal[Done]:
    """Spend money in a job; more than was planned where `grown` says so."""

    async def carry_out() -> Done:
        usage_values.append(amount)
        if amount > 5:
            raise WorkbenchError("The bank is closed.")
        return Done(text=f"spent {amount}")

    return Proposal(Plan("Spend.", calls=calls * grown[0], highest_cost_usd=amount), carry_out)


@capability(effect=Effect.WRITES, title="Write")
async def write(workspace: Workspace, text: str) -> Done:
    """Write a text."""
    usage_values.append(0)
    return Done(text=text)


grown = [1]
CATALOGUE = Catalogue((spend, spend_slowly, write))


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncGenerator[Workspace]:
    usage_values.clear()
    grown[0] = 1
    settings = Settings(home=tmp_path, engine=EngineSettings(environment={}))
    async with CATALOGUE.open_workspace(settings) as project:
        yield project


def store_of(workspace: Workspace) -> ApprovalStore:
    return ApprovalStore(workspace.settings.home)


async def waiting_id(workspace: Workspace, amount: float) -> str:
    outcome = await call_capability(workspace, spend, {"amount": amount})
    assert outcome.status == "needs_approval"
    return str(outcome.data["approval_id"])


@pytest.mark.parametrize(
    ("reply", "status", "state"),
    [
        (Reply.ACCEPT, "done", ApprovalState.USED),
        (Reply.DECLINE, "declined", ApprovalState.DECLINED),
        (Reply.NONE, "needs_approval", ApprovalState.WAITING),
        (Reply.LATER, "asking", None),
    ],
)
async def test_the_person_decides_and_what_they_said_is_recorded(
    workspace: Workspace, reply: Reply, status: str, state: ApprovalState | None
) -> None:
    person = Person(reply)
    outcome = await call_capability(replace(workspace, person=person), spend, {"amount": 2})
    assert outcome.status == status
    assert usage_values == ([2] if status == "done" else [])
    assert person.questions == ["Spend 2.0. About 1 model call, at most about $2.0000."]
    assert [entry.state for entry in store_of(workspace).history()] == ([state] if state else [])


async def test_a_person_is_asked_even_where_the_caller_names_an_approval(
    workspace: Workspace,
) -> None:
    approval = await waiting_id(workspace, 2)
    store_of(workspace).approve(approval, Door.TERMINAL)
    person = Person(Reply.DECLINE)
    call_arguments: dict[str, JsonValue] = {"amount": 2, "approval_id": approval}
    outcome = await call_capability(replace(workspace, person=person), spend, call_arguments)
    assert (outcome.status, len(person.questions), usage_values) == ("declined", 1, [])


async def test_an_approval_that_the_person_has_not_given_is_worth_nothing(
    workspace: Workspace,
) -> None:
    approval = await waiting_id(workspace, 2)
    for reference in (approval, "ap-234567", "yes", "true"):
        call_arguments: dict[str, JsonValue] = {"amount": 2, "approval_id": reference}
        outcome = await call_capability(workspace, spend, call_arguments)
        assert outcome.status == "needs_approval"
        assert outcome.data["approval_id"] == approval
    assert usage_values == []


async def test_an_approval_holds_once_and_for_its_own_call_alone(workspace: Workspace) -> None:
    approval = await waiting_id(workspace, 2)
    assert store_of(workspace).approve(approval, Door.TERMINAL)
    other: dict[str, JsonValue] = {"amount": 900, "approval_id": approval}
    assert (await call_capability(workspace, spend, other)).status == "needs_approval"
    approval_only: dict[str, JsonValue] = {"approval_id": approval}
    done = await call_capability(workspace, spend, approval_only)
    assert (done.status, done.data, usage_values) == ("done", {"text": "spent 2.0"}, [2])
    second_run = await call_capability(workspace, spend, approval_only)
    assert second_run.status == "needs_approval"
    assert "was used before" in str(second_run.data["message"])
    assert usage_values == [2]


async def test_what_was_approved_in_a_terminal_holds_where_the_client_closes_every_question(
    workspace: Workspace,
) -> None:
    headless = replace(workspace, person=Person(Reply.NONE))
    waiting = await call_capability(headless, spend, {"amount": 2})
    approval = str(waiting.data["approval_id"])
    assert f"kiln-mcp approve {approval}" in str(waiting.data["message"])
    [step] = cast("list[dict[str, JsonValue]]", waiting.data["next"])
    assert (step["tool"], step["arguments"]) == ("spend", {"approval_id": approval})
    early = await call_capability(headless, spend, {"approval_id": approval})
    assert (early.status, usage_values) == ("needs_approval", [])
    store_of(workspace).approve(approval, Door.TERMINAL)
    done = await call_capability(headless, spend, {"approval_id": approval})
    second_run = await call_capability(headless, spend, {"amount": 2, "approval_id": approval})
    assert (done.status, second_run.status, usage_values) == ("done", "needs_approval", [2])


@pytest.mark.parametrize(
    "other", [{"amount": 2, "limit_calls": 9}, {"amount": 2, "calls": 2}, {"amount": 3}]
)
async def test_an_approval_holds_for_no_other_limit_and_no_other_plan(
    workspace: Workspace, other: dict[str, JsonValue]
) -> None:
    waiting = await call_capability(workspace, spend_slowly, {"amount": 2})
    approval = str(waiting.data["approval_id"])
    store_of(workspace).approve(approval, Door.TERMINAL)
    call_arguments = {**other, "approval_id": approval}
    refused = await call_capability(workspace, spend_slowly, call_arguments)
    assert (refused.status, usage_values) == ("needs_approval", [])
    assert refused.data["approval_id"] != approval
    grown[0] = 7
    changed = await call_capability(workspace, spend_slowly, {"approval_id": approval})
    assert "no longer the one that the person saw" in str(changed.data["message"])
    assert usage_values == []


async def test_an_approval_that_was_not_used_in_a_day_allows_nothing(workspace: Workspace) -> None:
    call = spend.call(Plan("Spend 2.0.", calls=1, highest_cost_usd=2), {"amount": 2})
    yesterday = ApprovalStore(workspace.settings.home, clock=lambda: time.time() - VALID_S - 1)
    approval = yesterday.request(call).id
    assert yesterday.approve(approval, Door.TERMINAL)
    outcome = await call_capability(workspace, spend, {"approval_id": approval})
    assert (outcome.status, usage_values) == ("needs_approval", [])
    assert "not used within 24 hours" in str(outcome.data["message"])


async def test_an_approval_of_one_tool_alone_is_refused_for_another(workspace: Workspace) -> None:
    approval = await waiting_id(workspace, 2)
    with pytest.raises(WorkbenchError, match="There is no approval"):
        await call_capability(workspace, spend_slowly, {"approval_id": approval})


async def test_a_declined_approval_is_declined_for_the_caller_too(workspace: Workspace) -> None:
    approval = await waiting_id(workspace, 2)
    store_of(workspace).decline(approval, Door.TERMINAL)
    outcome = await call_capability(workspace, spend, {"approval_id": approval})
    assert (outcome.status, usage_values) == ("declined", [])


async def test_an_allowance_lets_through_what_fits_and_asks_about_the_rest(
    workspace: Workspace,
) -> None:
    write_policy(workspace.settings.home, Policy(DailyAllowance(3.0, 100)))
    statuses = [
        (await call_capability(workspace, spend, {"amount": amount})).status for amount in (2, 2, 1)
    ]
    assert (statuses, usage_values) == (["done", "needs_approval", "done"], [2, 1])
    assert {entry.door for entry in store_of(workspace).history()} == {Door.ALLOWANCE, None}


async def test_even_a_plain_change_is_asked_about_where_the_person_wants_it(
    workspace: Workspace,
) -> None:
    assert (await call_capability(workspace, write, {"text": "x"})).status == "done"
    home = workspace.settings.home
    (home / "policy.json").write_text("{damaged", encoding="utf-8")
    outcome = await call_capability(workspace, write, {"text": "x"})
    assert outcome.status == "needs_approval"
    assert "Write (text 'x')." in str(outcome.data["plan"])
    assert usage_values == [0]


async def test_a_job_is_asked_about_once_and_keeps_its_approval(workspace: Workspace) -> None:
    person = Person(Reply.ACCEPT)
    asking = replace(workspace, person=person)
    done = await call_capability(asking, spend_slowly, {"amount": 2})
    assert (done.status, done.data) == ("done", {"text": "spent 2.0"})
    assert len(person.questions) == 1
    (job,) = (await service.list_jobs(workspace)).jobs
    assert job.job == done.job
    (approval,) = store_of(workspace).history()
    assert (approval.call.tool, approval.state) == ("spend_slowly", ApprovalState.USED)


async def test_a_job_that_fails_fails_the_call_that_waits_for_it(workspace: Workspace) -> None:
    asking = replace(workspace, person=Person(Reply.ACCEPT))
    with pytest.raises(Refusal, match="The bank is closed"):
        await call_capability(asking, spend_slowly, {"amount": 9})


async def test_a_job_whose_plan_has_grown_is_not_carried_out_unless_a_limit_holds_it(
    workspace: Workspace,
) -> None:
    class Growing(Person):
        async def ask(self, call: ProposedCall) -> Reply:
            grown[0] = 50
            return Reply.ACCEPT

    asking = replace(workspace, person=Growing(Reply.ACCEPT))
    with pytest.raises(Refusal, match="would do more now than was agreed to"):
        await call_capability(asking, spend_slowly, {"amount": 2})
    assert usage_values == []
    grown[0] = 1
    with_limit: dict[str, JsonValue] = {"amount": 2, "limit_calls": 3}
    assert (await call_capability(asking, spend_slowly, with_limit)).status == "done"


def test_work_that_asks_no_model_is_done_at_once_without_the_machinery_of_jobs(
    tmp_path: Path,
) -> None:
    script = f"""
import asyncio, sys
from pathlib import Path
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.llm import EngineSettings
from kiln_mcp.operations.job_control.capability_calls import call_capability
from kiln_mcp.settings import Settings

async def main():
    catalogue = installed_catalogue()
    settings = Settings(home=Path({str(tmp_path)!r}), engine=EngineSettings(environment={{}}))
    async with catalogue.open_workspace(settings) as workspace:
        async def do(tool, **arguments):
            return await call_capability(workspace, catalogue.find(tool), arguments)
        await do("create_project", name="P", folder={str(tmp_path / "p")!r})
        await do("create_project", project="P", task="T", instruction="Do it.")
        done = await do("build_spec", project="P", wish="It is polite.", model="embedded")
        assert (done.status, done.job) == ("done", ""), done
    assert "dbos" not in sys.modules

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
