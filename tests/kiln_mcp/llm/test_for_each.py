"""Several things at once, within a budget."""

import anyio
import anyio.lowlevel
import pytest

from kiln_mcp.llm import for_each as module
from kiln_mcp.llm.errors import BudgetSpent
from kiln_mcp.llm.for_each import for_each

SPENT = BudgetSpent("test", "calls", "all calls are made", 1)


async def test_each_item_is_done_once_and_no_more_run_at_once_than_allowed() -> None:
    done: list[int] = []
    now = most = 0

    async def do(thing: int) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await anyio.lowlevel.checkpoint()
        now -= 1
        done.append(thing)

    await for_each(range(20), do, lambda: 3)
    assert (sorted(done), most) == (list(range(20)), 3)


async def test_the_items_at_once_follow_the_width_up_and_down() -> None:
    width, now = 1, 0
    at_once: list[int] = []
    ends: list[anyio.Event] = []

    async def do(_: int) -> None:
        nonlocal now
        now += 1
        ends.append(end := anyio.Event())
        await end.wait()
        now -= 1

    async with anyio.create_task_group() as group:
        group.start_soon(for_each, range(12), do, lambda: width)
        for next_width in (1, 4, 4, 2, 2, 2, 1):
            width = next_width
            await anyio.wait_all_tasks_blocked()
            at_once.append(now)
            ends.pop().set()
        group.cancel_scope.cancel()
    assert at_once == [1, 4, 4, 3, 2, 2, 1]


async def test_the_end_of_a_budget_lets_running_calls_finish_and_begins_none() -> None:
    begun: list[int] = []
    ended: list[int] = []
    all_begun, refused = anyio.Event(), anyio.Event()

    async def do(thing: int) -> None:
        begun.append(thing)
        if thing == 1:
            await all_begun.wait()
            refused.set()
            raise SPENT
        if thing == 2:
            all_begun.set()
        await refused.wait()
        await anyio.sleep(0.02)  # an answer on its way
        ended.append(thing)

    with pytest.raises(BudgetSpent):
        await for_each(range(10), do, lambda: 3)
    assert (sorted(begun), sorted(ended)) == ([0, 1, 2], [0, 2])


async def test_a_call_that_never_ends_is_awaited_for_a_limited_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "AWAITED_S", 0.05)

    async def do(thing: int) -> None:
        if thing == 1:
            raise SPENT
        await anyio.sleep_forever()

    with anyio.fail_after(30), pytest.raises(BudgetSpent):
        await for_each(range(3), do, lambda: 2)
