"""One server, shared by jobs."""

from collections import Counter

import anyio
import pytest
from anyio.abc import TaskGroup

from kiln_mcp.llm.limits.fair_limiter import FairLimiter


class Crowd:
    """Requests of several jobs; each stays in flight until the test ends it."""

    def __init__(self, capacity: int) -> None:
        self.limiter = FairLimiter(capacity)
        self.in_flight: Counter[str] = Counter()
        self.order: list[str] = []
        self._ends: dict[str, list[anyio.Event]] = {}

    async def request(self, job: str) -> None:
        async with self.limiter.turn(job):
            self.in_flight[job] += 1
            self.order.append(job)
            self._ends.setdefault(job, []).append(end := anyio.Event())
            await end.wait()
            self.in_flight[job] -= 1

    async def send(self, group: TaskGroup, job: str, count: int) -> None:
        for _ in range(count):
            group.start_soon(self.request, job)
        await anyio.wait_all_tasks_blocked()

    async def end_one(self, job: str) -> None:
        self._ends[job].pop().set()
        await anyio.wait_all_tasks_blocked()


async def test_a_job_that_is_alone_has_the_whole_server() -> None:
    crowd = Crowd(25)
    async with anyio.create_task_group() as group:
        await crowd.send(group, "a", 60)
        assert crowd.in_flight == {"a": 25}
        group.cancel_scope.cancel()


async def test_a_job_that_comes_later_gets_the_turns_that_fall_free_until_both_have_half() -> None:
    crowd = Crowd(5)
    async with anyio.create_task_group() as group:
        await crowd.send(group, "a", 12)
        await crowd.send(group, "b", 6)
        for _ in range(2):
            await crowd.end_one("a")
        assert crowd.in_flight == {"a": 3, "b": 2}
        for _ in range(3):
            for job in ("a", "b"):
                await crowd.end_one(job)
                assert sum(crowd.in_flight.values()) == 5
                assert abs(crowd.in_flight["a"] - crowd.in_flight["b"]) <= 1
        group.cancel_scope.cancel()


async def test_a_small_job_is_not_kept_waiting_by_the_many_requests_of_a_large_one() -> None:
    crowd = Crowd(2)
    async with anyio.create_task_group() as group:
        await crowd.send(group, "large", 20)
        await crowd.send(group, "small", 1)
        await crowd.end_one("large")
        assert crowd.order == ["large", "large", "small"]
        group.cancel_scope.cancel()


async def test_jobs_of_one_request_each_take_turns() -> None:
    crowd = Crowd(1)
    async with anyio.create_task_group() as group:
        for job in ("a", "a", "b", "b", "c", "c"):
            await crowd.send(group, job, 1)
        for _ in range(6):
            await crowd.end_one(crowd.order[-1])
    assert crowd.order == ["a", "b", "c", "a", "b", "c"]


@pytest.mark.parametrize("is_granted", [False, True])
async def test_a_cancelled_request_leaves_its_turn_to_the_others(is_granted: bool) -> None:
    crowd = Crowd(1)
    scope = anyio.CancelScope()

    async def cancelled() -> None:
        with scope:
            await crowd.request("b")

    async with anyio.create_task_group() as group:
        await crowd.send(group, "a", 1)
        group.start_soon(cancelled)
        await anyio.wait_all_tasks_blocked()
        if is_granted:  # its turn comes at the same moment
            crowd.limiter.capacity = 2
            scope.cancel()
            crowd.limiter.capacity = 1
            await anyio.wait_all_tasks_blocked()
            await crowd.end_one("a")
        else:
            scope.cancel()
            await crowd.end_one("a")
        await crowd.send(group, "c", 1)
        assert (crowd.order[-1], crowd.limiter.in_flight) == ("c", 1)
        await crowd.end_one("c")
    assert crowd.limiter.in_flight == 0


async def test_more_capacity_lets_through_who_waits_and_less_ends_nothing() -> None:
    crowd = Crowd(1)
    async with anyio.create_task_group() as group:
        await crowd.send(group, "a", 5)
        crowd.limiter.capacity = 3
        await anyio.wait_all_tasks_blocked()
        assert crowd.in_flight["a"] == 3
        crowd.limiter.capacity = 1
        await crowd.end_one("a")
        assert crowd.in_flight["a"] == 2
        group.cancel_scope.cancel()
