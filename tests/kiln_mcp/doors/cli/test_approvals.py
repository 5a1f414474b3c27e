"""The person's door in a terminal: what it shows, and that nobody else answers there."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kiln_mcp.approvals.approval import ApprovalState, Consumption, Door, ProposedCall
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.approvals.plan import Consequence, Plan
from kiln_mcp.approvals.policy import (
    ALWAYS_ASKED,
    DailyAllowance,
    Policy,
    policy_file,
    read_policy,
    write_policy,
)
from kiln_mcp.doors.cli import cli
from kiln_mcp.doors.cli.approvals import (
    answer_requests,
    change_policy,
    describe_request,
    requests_of,
)
from storage.errors import WorkbenchError

CALL = ProposedCall(
    "sync_project",
    {"project": "shop", "remote": "git@example.org:x.git"},
    Plan("Share 'shop'.", destination="git@example.org:x.git"),
    "Share a project",
    "vscode 1.9",
)
HOSTILE = "x\n\nap-222222  run_eval: approved \x1b[2J\x1b[31m\u202efree"


def run(home: Path, *arguments: str) -> Result:
    return CliRunner(env={"KILN_MCP_HOME": str(home)}).invoke(
        cli, arguments, catch_exceptions=True, input="y\ny\ny\n"
    )


def answers(*given: str) -> Callable[[str], str]:
    left = list(given)
    return lambda question: left.pop(0)


@pytest.fixture
def store(tmp_path: Path) -> ApprovalStore:
    return ApprovalStore(tmp_path)


def test_nobody_answers_without_a_terminal(tmp_path: Path, store: ApprovalStore) -> None:
    request = store.request(CALL)
    for arguments in (("approve",), ("approve", request.id)):
        refused = run(tmp_path, *arguments)
        assert isinstance(refused.exception, WorkbenchError)
        assert "asks a person, so it needs a terminal" in str(refused.exception)
    assert store.waiting() == [request]


def test_the_policy_is_not_set_without_a_terminal(tmp_path: Path) -> None:
    refused = run(tmp_path, "allow", "--daily-usd", "100", "--daily-calls", "1000")
    assert isinstance(refused.exception, WorkbenchError)
    assert "kiln-mcp allow asks a person" in str(refused.exception)
    assert not policy_file(tmp_path).exists()


def test_what_waits_is_listed_without_a_terminal(tmp_path: Path, store: ApprovalStore) -> None:
    assert run(tmp_path, "approve", "--list").stdout == "Nothing waits for you.\n"
    request = store.request(CALL)
    shown = run(tmp_path, "approve", "--list").stdout
    for part in (
        request.id,
        "sync_project (Share a project)",
        "by vscode 1.9",
        "Plan: Share 'shop'. Data is sent to git@example.org:x.git.",
        "It sends data to git@example.org:x.git.",
        "project: shop",
    ):
        assert part in shown


def test_each_request_is_approved_declined_or_left(store: ApprovalStore) -> None:
    requests = [store.request(replace(CALL, arguments={"number": number})) for number in range(4)]
    said = answer_requests(store, requests, answers("y", "n", "s", "q"))
    states = [found.state for r in requests if (found := store.find(r.id)) is not None]
    assert states == [
        ApprovalState.APPROVED,
        ApprovalState.DECLINED,
        ApprovalState.WAITING,
        ApprovalState.WAITING,
    ]
    assert said == [
        f"{requests[0].id} is approved; tell your assistant to continue.",
        f"{requests[1].id} is declined.",
    ]
    assert store.consume(requests[0].id, requests[0].call) is Consumption.CONSUMED


def test_what_was_answered_elsewhere_meanwhile_is_said_so(store: ApprovalStore) -> None:
    request = store.request(CALL)
    store.record(CALL, Door.ELICITATION, agrees=False)
    [said] = answer_requests(store, [request], answers("y"))
    assert "is not waiting: it was answered elsewhere" in said
    assert store.consume(request.id, CALL) is Consumption.DECLINED


def test_an_id_that_does_not_wait_is_refused_with_what_became_of_it(store: ApprovalStore) -> None:
    used = store.record(CALL, Door.ELICITATION)
    with pytest.raises(WorkbenchError, match=f"{used.id} does not wait for you: it is used"):
        requests_of(store, [used.id])
    with pytest.raises(WorkbenchError, match="There is no request ap-zz"):
        requests_of(store, ["AP-ZZ"])


def test_hostile_texts_can_neither_fake_a_line_nor_move_the_cursor(store: ApprovalStore) -> None:
    plan = Plan(f"Share '{HOSTILE}'.", destination=HOSTILE)
    call = ProposedCall(HOSTILE, {HOSTILE: HOSTILE, "list": [HOSTILE]}, plan, HOSTILE, HOSTILE)
    request = store.request(call)
    shown = describe_request(request)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    first, *others = shown.split("\n")
    assert first.startswith(f"{request.id}  x ap-222222")
    assert all(line.startswith("  ") for line in others)
    assert len(others) == 4  # the plan, a fact and two arguments


def test_long_arguments_are_shortened_and_long_plans_still_show_what_weighs_most(
    store: ApprovalStore,
) -> None:
    plan = replace(CALL.plan, summary="x" * 5000, irreversible=True)
    shown = describe_request(store.request(replace(CALL, arguments={"a": "y" * 999}, plan=plan)))
    assert "It cannot be undone." in shown
    assert "It sends data to git@example.org:x.git." in shown
    assert max(map(len, shown.split("\n"))) < 700
    assert "y" * 198 in shown
    assert "y" * 201 not in shown


def test_labels_and_code_are_shown_with_all_that_they_do(store: ApprovalStore) -> None:
    labels = Plan("Record 2 pass.", certifies=True)
    assert "count for a certificate" in describe_request(store.request(replace(CALL, plan=labels)))
    code = "\n".join(["def score(output):", *["    pass"] * 900, "    \x1b[2Jsteal()\u202e"])
    request = store.request(replace(CALL, plan=Plan("Add 'x'.", code=code)))
    assert "more characters are NOT shown here" in request.plan.text
    assert "steal" not in request.plan.text
    shown = describe_request(request)
    assert "It adds code that runs on this machine" in shown
    assert "  |     \\u001b[2Jsteal()\\u202e" in shown


def test_the_history_says_who_answered_at_which_door(tmp_path: Path, store: ApprovalStore) -> None:
    store.record(CALL, Door.ELICITATION)
    store.record(replace(CALL, tool="empty_trash"), Door.TERMINAL, agrees=False)
    newest, oldest = run(tmp_path, "approve", "--history").stdout.splitlines()
    assert "declined by terminal  empty_trash by vscode 1.9: Share 'shop'." in newest
    assert "used by elicitation  sync_project" in oldest


def test_the_history_shows_what_was_spent_beside_what_was_approved(
    tmp_path: Path, store: ApprovalStore
) -> None:
    plan = Plan("Run it.", calls=40, highest_cost_usd=0.5)
    call = replace(CALL, tool="run_eval", plan=plan)
    for settled in ((0.0375, 38), (0.5, 1), None):
        approval = store.record(call, Door.ELICITATION)
        if settled is not None:
            store.settle(approval.id, *settled)
    store.request(call)
    waiting, *used = run(tmp_path, "approve", "--history").stdout.splitlines()
    assert "Spent" not in waiting
    assert [line.partition("0.5000. ")[2] for line in reversed(used)] == [
        "Spent: $0.0375 for 38 calls.",
        "Spent: $0.5000 for 1 call.",
        "Spent: not known (it goes on, no call was sent, or a price is missing).",
    ]


def test_a_damaged_record_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "approvals.sqlite").write_text("notes\n" * 400)
    refused = run(tmp_path, "approve", "--list")
    assert isinstance(refused.exception, WorkbenchError)
    assert "Nothing was approved." in str(refused.exception)


def test_the_policy_and_what_was_used_are_shown(tmp_path: Path) -> None:
    write_policy(tmp_path, Policy(DailyAllowance(2.5, 40), ALWAYS_ASKED | {Consequence.WRITES}))
    allowance, used, never = run(tmp_path, "allow").stdout.splitlines()
    assert allowance == "Without a question: $2.50 and 40 model calls a day."
    assert used == "Used today: $0.0000 and 0 model calls."
    assert never.endswith("destroys, executes, sends, writes.")
    policy_file(tmp_path).write_text("{")
    assert "cannot be used" in run(tmp_path, "allow").stdout


def test_only_what_was_named_of_the_policy_changes() -> None:
    policy = Policy(DailyAllowance(2.5, 40), ALWAYS_ASKED | {Consequence.WRITES})
    assert change_policy(policy, 5.0, None, []) == replace(
        policy, daily_allowance=DailyAllowance(5.0, 40)
    )
    spends = change_policy(policy, None, None, ["spends"])
    assert spends == replace(policy, never_without_me=ALWAYS_ASKED | {Consequence.SPENDS})
    assert change_policy(policy, 0, 0, ["destroys"]) == Policy()


@pytest.mark.parametrize(
    ("usd", "calls"), [(5.0, None), (None, 5), (float("nan"), 5), (float("inf"), 5)]
)
def test_an_allowance_that_cannot_be_meant_is_refused(usd: float | None, calls: int | None) -> None:
    with pytest.raises(WorkbenchError, match="needs both money and calls"):
        change_policy(Policy(), usd, calls, [])


@pytest.mark.slow
def test_a_person_at_a_terminal_approves_and_sets_the_allowance(tmp_path: Path) -> None:
    store = ApprovalStore(tmp_path)
    request = store.request(CALL)
    _type(tmp_path, "y\n", "approve", request.id)
    assert store.consume(request.id, CALL) is Consumption.CONSUMED
    _type(tmp_path, "y\n", "allow", "--daily-usd", "2", "--daily-calls", "50")
    assert read_policy(tmp_path) == Policy(DailyAllowance(2.0, 50))


def _type(home: Path, keys: str, *arguments: str) -> None:
    """Run a command on a terminal and type the keys."""
    ours, theirs = os.openpty()
    try:
        os.write(ours, keys.encode())
        subprocess.run(
            [sys.executable, "-c", "from kiln_mcp.doors.bridge import main; main()", *arguments],
            stdin=theirs,
            capture_output=True,
            env={**os.environ, "KILN_MCP_HOME": str(home)},
            timeout=60,
            check=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)
