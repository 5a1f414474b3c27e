"""How many items a run opens, and what it says about its calls in flight."""

from collections import Counter
from typing import Any

import anyio

from kiln_mcp.llm import Budget, BudgetLimit, Engine, EngineSettings, Message, ModelRequest
from kiln_mcp.llm import ServerSettings as Server
from kiln_mcp.llm.engine import ITEMS_A_CALL
from kiln_mcp.llm.limits.rate_limiter import RateLimiter
from kiln_mcp.llm.limits.shared_limits import ServerLimits
from kiln_mcp.llm.limits.wait_policy import WaitPolicy
from kiln_mcp.workbench.progress import Relay

Loopback = Any  # the fixture's class lives in conftest


def engine_of(server: Loopback, concurrency: int = 6) -> Engine:
    servers = (Server("p", server.address, concurrency=concurrency),)
    return Engine(EngineSettings(servers=servers, environment={}, first_wait_s=0.001))


def question(number: int = 0, model: str = "p/tiny") -> ModelRequest:
    return ModelRequest(model, (Message("user", f"Hello {number}?"),))


async def test_the_width_is_that_of_the_server_and_not_of_its_models(loopback: Loopback) -> None:
    async with engine_of(loopback) as engine:
        assert engine.width(["p/tiny"])() == 6 * ITEMS_A_CALL
        assert engine.width(["p/tiny", "p/other"])() == 6 * ITEMS_A_CALL


async def test_the_width_follows_what_a_refusal_for_being_too_fast_teaches(
    loopback: Loopback,
) -> None:
    loopback.fail(429, "slow down", retry_after="0")
    async with engine_of(loopback) as engine:
        width = engine.width(["p/tiny"])
        await engine.complete(question(), asker="test")
        assert width() == 4 * ITEMS_A_CALL
        assert engine.width(["p/other"])() == 6 * ITEMS_A_CALL


async def test_jobs_that_ask_one_server_have_equally_many_calls_in_flight() -> None:
    rate_limiter = RateLimiter("p", ServerLimits(concurrency=4))
    in_flight: Counter[str] = Counter()
    ends: list[anyio.Event] = []
    async with Engine(EngineSettings(environment={})) as engine:
        first, second = [await engine.budget(f"jobs/{job}", BudgetLimit()) for job in "ab"]

    async def ask(budget: Budget) -> None:
        async with rate_limiter.request(question(), WaitPolicy("p/tiny", budget)):
            in_flight[budget.name] += 1
            ends.append(end := anyio.Event())
            await end.wait()
            in_flight[budget.name] -= 1

    async with anyio.create_task_group() as group:
        for _ in range(9):
            group.start_soon(ask, first)
        await anyio.wait_all_tasks_blocked()
        assert in_flight == {"jobs/a": 4}
        for _ in range(9):
            group.start_soon(ask, second)
        await anyio.wait_all_tasks_blocked()
        for end in ends[:2]:
            end.set()
        await anyio.wait_all_tasks_blocked()
        assert in_flight == {"jobs/a": 2, "jobs/b": 2}
        group.cancel_scope.cancel()


async def test_progress_names_the_calls_in_flight_and_what_the_server_allows(
    loopback: Loopback,
) -> None:
    loopback.late_s = 30
    messages: list[str | None] = []
    relay = Relay(_hear(messages))
    async with engine_of(loopback) as engine, anyio.create_task_group() as group:
        view = engine.with_listener(relay.say, relay.gauge)

        async def ask(number: int) -> None:
            await view.complete(question(number), asker="test")

        async def ask_apart() -> None:
            await engine.complete(question(9), asker="test")

        await relay.report(0, 9, "Running.")
        for number in range(2):
            group.start_soon(ask, number)
        group.start_soon(ask_apart)
        await loopback.wait_for(3)
        await relay.report(1, 9, "1 scored")
        await relay.report(2, 9, None)
        group.cancel_scope.cancel()
    await relay.report(9, 9, "Done.")
    assert messages == [
        "Running.",
        "1 scored. 2 of 6 calls in flight, and 1 of other jobs.",
        None,
        "Done.",
    ]


def _hear(messages: list[str | None]) -> Any:
    async def hear(done: float, total: float | None, message: str | None) -> None:
        messages.append(message)

    return hear
