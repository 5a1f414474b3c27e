"""A daily allowance is never exceeded, however many processes draw on it."""

import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from kiln_mcp.approvals.approval import (
    ApprovalState,
    Consumption,
    DailySpending,
    Door,
    ProposedCall,
)
from kiln_mcp.approvals.approval_store import ApprovalStore
from kiln_mcp.approvals.plan import Effect, Plan
from kiln_mcp.approvals.policy import DailyAllowance, Policy

POLICY = Policy(DailyAllowance(usd=1.0, calls=100))
CALL = ProposedCall("run_eval", {"eval": "e1"}, Plan("Judge.", calls=30, highest_cost_usd=0.3))


class Clock:
    """A clock that a test sets; the time zone is that of the machine."""

    def __init__(self) -> None:
        self.now = time.mktime((2026, 7, 1, 23, 30, 0, 0, 0, -1))

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> ApprovalStore:
    return ApprovalStore(tmp_path / "home", clock)


def draw(store: ApprovalStore, call: ProposedCall = CALL, policy: Policy = POLICY) -> str | None:
    approval = store.record_allowance(call, policy, Effect.SPENDS)
    return None if approval is None else approval.id


def test_what_fits_is_approved_without_a_question_and_is_on_record(store: ApprovalStore) -> None:
    approval = store.record_allowance(CALL, POLICY, Effect.SPENDS)
    assert approval is not None
    assert (approval.state, approval.door) == (ApprovalState.USED, Door.ALLOWANCE)
    assert store.history() == [approval]
    assert store.consume(approval.id, CALL) is Consumption.USED


def test_the_allowance_ends_where_the_next_plan_does_not_fit(store: ApprovalStore) -> None:
    assert [draw(store) is not None for _ in range(4)] == [True, True, True, False]
    smaller = replace(CALL, plan=replace(CALL.plan, calls=10, highest_cost_usd=0.1))
    assert draw(store, smaller) is not None
    assert store.spent_today().cost_usd == pytest.approx(1.0)
    assert store.spent_today().calls == 100
    assert draw(store, replace(CALL, plan=replace(CALL.plan, calls=1))) is None


@pytest.mark.parametrize(
    "plan",
    [
        replace(CALL.plan, highest_cost_usd=1.01),
        replace(CALL.plan, calls=101),
        replace(CALL.plan, highest_cost_usd=None),
        replace(CALL.plan, irreversible=True),
        replace(CALL.plan, destination="/mnt/x"),
    ],
)
def test_what_does_not_fit_is_left_to_the_person(store: ApprovalStore, plan: Plan) -> None:
    assert draw(store, replace(CALL, plan=plan)) is None
    assert store.history() == []


@pytest.mark.parametrize(
    "policy", [Policy(), Policy(DailyAllowance(usd=1.0)), Policy(DailyAllowance(0.0, 100))]
)
def test_an_allowance_needs_both_money_and_calls(store: ApprovalStore, policy: Policy) -> None:
    assert draw(store, policy=policy) is None


def test_what_an_act_really_took_replaces_its_reservation(store: ApprovalStore) -> None:
    first = draw(store)
    assert first is not None
    store.settle(first, 0.05, 12)
    assert store.spent_today() == DailySpending(0.05, 12)
    store.settle(first, 0.9, 90)  # more than was planned counts in full
    assert draw(store) is None


def test_settling_an_approval_of_another_door_changes_no_allowance(store: ApprovalStore) -> None:
    approval = store.record(CALL, Door.ELICITATION)
    store.settle(approval.id, 5.0, 500)
    assert store.spent_today() == DailySpending(0.0, 0)


def test_a_reservation_that_nobody_settled_counts_until_the_local_day_ends(
    store: ApprovalStore, clock: Clock
) -> None:
    for _ in range(3):
        draw(store)
    clock.now += 29 * 60
    assert draw(store) is None
    clock.now += 60
    assert draw(store) is not None


def test_the_allowance_closes_the_request_that_waited_for_the_same_call(
    store: ApprovalStore,
) -> None:
    waiting = store.request(CALL)
    assert draw(store) == waiting.id
    assert store.waiting() == []
    assert not store.approve(waiting.id, Door.TERMINAL)


def _draw_often(home: Path, eval_id: str) -> int:
    store = ApprovalStore(home)
    call = replace(CALL, arguments={"eval": eval_id})
    return sum(draw(store, call) is not None for _ in range(4))


def test_several_at_once_stay_within_one_allowance(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        drawn = list(threads.map(_draw_often, [tmp_path] * 2, ["e1", "e2"]))
    assert sum(drawn) == 3


@pytest.mark.slow
def test_two_processes_at_once_stay_within_one_allowance(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        drawn = list(processes.map(_draw_often, [tmp_path] * 2, ["e1", "e2"]))
    assert sum(drawn) == 3
