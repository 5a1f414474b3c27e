"""An approval holds for one call, once, no matter who asks and how many processes do."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from kiln_mcp.approvals.approval import Approval, ApprovalState, Consumption, Door, ProposedCall
from kiln_mcp.approvals.approval_store import VALID_S, ApprovalStore
from kiln_mcp.approvals.errors import ApprovalStoreFailure
from kiln_mcp.approvals.plan import Plan
from storage.errors import WorkbenchError

PLAN = Plan("Empty the trash: 3 records.", irreversible=True)
CALL = ProposedCall("empty_trash", {"project": "shop", "keys": ["a", "b"]}, PLAN, "Empty", "vscode")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> ApprovalStore:
    return ApprovalStore(tmp_path / "home", clock)


def approved(store: ApprovalStore, call: ProposedCall = CALL) -> Approval:
    approval = store.request(call)
    assert store.approve(approval.id, Door.TERMINAL)
    return approval


def test_a_request_waits_with_all_that_the_person_must_see(store: ApprovalStore) -> None:
    approval = store.request(CALL)
    assert approval.state is ApprovalState.WAITING
    assert store.waiting() == [approval]
    assert approval.call == CALL
    assert approval.id.startswith("ap-")
    assert len(approval.id) == 9


def test_the_same_call_is_asked_once_whatever_the_order_of_its_arguments(
    store: ApprovalStore,
) -> None:
    first = store.request(CALL)
    turned = replace(CALL, arguments={"keys": ["a", "b"], "project": "shop"}, client="other")
    assert store.request(turned).id == first.id
    assert store.request(replace(CALL, tool="delete_record")).id != first.id
    assert store.request(replace(CALL, plan=replace(PLAN, summary="All."))).id != first.id
    assert len(store.waiting()) == 3


def test_an_approval_that_is_not_used_yet_is_returned_instead_of_a_second_one(
    store: ApprovalStore,
) -> None:
    approval = approved(store)
    again = store.request(CALL)
    assert (again.id, again.state) == (approval.id, ApprovalState.APPROVED)


def test_an_approval_is_used_once(store: ApprovalStore) -> None:
    approval = approved(store)
    assert store.consume(approval.id, CALL) is Consumption.CONSUMED
    assert store.consume(approval.id, CALL) is Consumption.USED
    assert store.request(CALL).id != approval.id


def test_an_id_that_the_person_has_not_approved_allows_nothing(store: ApprovalStore) -> None:
    approval = store.request(CALL)
    assert store.consume(approval.id, CALL) is Consumption.WAITING
    assert store.consume("ap-222222", CALL) is Consumption.UNKNOWN
    store.decline(approval.id, Door.TERMINAL)
    assert store.consume(approval.id, CALL) is Consumption.DECLINED
    assert not store.approve(approval.id, Door.TERMINAL)


@pytest.mark.parametrize(
    ("other", "answer"),
    [
        (replace(CALL, tool="sync_project"), Consumption.OTHER_CALL),
        (replace(CALL, arguments={"project": "bank", "keys": ["a", "b"]}), Consumption.OTHER_CALL),
        (replace(CALL, arguments={**CALL.arguments, "keys": ["b", "a"]}), Consumption.OTHER_CALL),
        (replace(CALL, plan=replace(PLAN, summary="4 records.")), Consumption.OTHER_PLAN),
    ],
)
def test_an_approval_holds_for_its_call_and_plan_alone(
    store: ApprovalStore, other: ProposedCall, answer: Consumption
) -> None:
    approval = approved(store)
    assert store.consume(approval.id, other) is answer
    assert store.consume(approval.id, CALL) is Consumption.CONSUMED


def test_a_request_ends_after_a_day(store: ApprovalStore, clock: Clock) -> None:
    waiting = store.request(CALL)
    unused = approved(store, replace(CALL, tool="delete_record"))
    clock.now += VALID_S + 1
    assert store.waiting() == []
    assert not store.approve(waiting.id, Door.TERMINAL)
    assert store.consume(waiting.id, CALL) is Consumption.EXPIRED
    assert store.consume(unused.id, unused.call) is Consumption.EXPIRED
    found = store.find(unused.id)
    assert found is not None
    assert found.state is ApprovalState.EXPIRED
    assert store.request(CALL).id != waiting.id


def test_what_the_client_asked_is_on_record_with_its_door(store: ApprovalStore) -> None:
    approval = store.record(CALL, Door.ELICITATION)
    assert (approval.state, approval.door) == (ApprovalState.USED, Door.ELICITATION)
    assert approval.answered_at == approval.used_at is not None
    assert store.consume(approval.id, CALL) is Consumption.USED


def test_a_question_answered_by_the_client_closes_the_request_that_waited(
    store: ApprovalStore,
) -> None:
    waiting = store.request(CALL)
    assert store.record(CALL, Door.ELICITATION, agrees=False).id == waiting.id
    assert store.waiting() == []
    assert store.consume(waiting.id, CALL) is Consumption.DECLINED


def test_the_history_keeps_every_request_newest_first(store: ApprovalStore) -> None:
    used = store.record(CALL, Door.ELICITATION)
    declined = store.record(replace(CALL, tool="sync_project"), Door.TERMINAL, agrees=False)
    waiting = store.request(replace(CALL, tool="run_eval"))
    history = store.history()
    assert [approval.id for approval in history] == [waiting.id, declined.id, used.id]
    assert len(store.history(2)) == 2


def test_a_flood_of_requests_is_refused_before_it_buries_the_others(tmp_path: Path) -> None:
    store = ApprovalStore(tmp_path, most_waiting=3)
    for number in range(3):
        store.request(replace(CALL, arguments={"number": number}))
    with pytest.raises(WorkbenchError, match="3 requests wait for the person already"):
        store.request(CALL)
    assert store.request(replace(CALL, arguments={"number": 0})) == store.waiting()[0]
    assert store.record(CALL, Door.ELICITATION).state is ApprovalState.USED


def test_texts_with_lone_surrogates_are_kept_readable(store: ApprovalStore) -> None:
    call = replace(CALL, arguments={"name": "a\ud800"}, client="\udfff", plan=Plan("\ud800."))
    approval = store.request(call)
    assert store.request(call).id == approval.id
    assert approval.call.client == "\ufffd"


def _use(home: Path, approval_id: str) -> Consumption:
    return ApprovalStore(home).consume(approval_id, CALL)


def use_six_times(pool: Executor, home: Path) -> list[Consumption]:
    approval = approved(ApprovalStore(home))
    return list(pool.map(_use, [home] * 6, [approval.id] * 6))


def test_of_several_that_use_an_approval_at_once_exactly_one_succeeds(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as threads:
        answers = use_six_times(threads, tmp_path)
    assert sorted(answers) == [Consumption.CONSUMED, *[Consumption.USED] * 5]


@pytest.mark.slow
def test_of_several_processes_that_use_an_approval_exactly_one_succeeds(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        answers = use_six_times(processes, tmp_path)
    assert sorted(answers) == [Consumption.CONSUMED, *[Consumption.USED] * 5]


def _use_and_die(home: Path, approval_id: str) -> None:
    _use(home, approval_id)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_an_approval_whose_user_was_killed_before_the_act_is_used_up(tmp_path: Path) -> None:
    approval = approved(ApprovalStore(tmp_path))
    process = get_context("spawn").Process(target=_use_and_die, args=(tmp_path, approval.id))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert ApprovalStore(tmp_path).consume(approval.id, CALL) is Consumption.USED


def test_of_several_threads_that_ask_the_same_all_get_one_request(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(ApprovalStore(home).request, CALL) for _ in range(8)]
    assert len({request.result().id for request in asked}) == 1


def _unusable_files(home: Path) -> Iterator[tuple[str, str]]:
    file = home / "approvals.sqlite"
    home.mkdir()
    file.write_bytes(b"These are my notes, and no database at all.\n" * 40)
    yield "notes", "is damaged, or no database"
    file.unlink()
    file.mkdir()
    yield "folder", "is a folder, where a file has to be"
    file.rmdir()
    with closing(sqlite3.connect(file)) as sql:
        sql.execute("CREATE TABLE approvals (id)")
    yield "other table", "cannot be used"


def test_a_record_that_cannot_be_used_approves_nothing_and_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    store = ApprovalStore(home)
    for _, sentence in _unusable_files(home):
        for act in (
            lambda: store.request(CALL),
            lambda: store.record(CALL, Door.ELICITATION),
            lambda: store.consume("ap-222222", CALL),
            store.waiting,
        ):
            with pytest.raises(ApprovalStoreFailure, match=rf"Nothing was approved\..* {sentence}"):
                act()
