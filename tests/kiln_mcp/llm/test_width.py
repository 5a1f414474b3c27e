"""How many items a run opens, and what it says about its calls in flight."""

from typing import Any

import anyio

from kiln_mcp.llm import Budget, BudgetLimit, Engine, EngineSettings, Message, ModelRequest
from kiln_mcp.llm import ServerSettings as Server
from kiln_mcp.llm.engine import ITEMS_A_CALL
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


async def test_two_jobs_of_one_server_share_it_and_one_alone_has_all(loopback: Loopback) -> None:
    loopback.text = "hi"
    loopback.late_s = 30
    async with engine_of(loopback) as engine:
        budgets = [await engine.budget(f"jobs/{job}", BudgetLimit()) for job in ("a", "b")]
        relays = [Relay(_hear([])), Relay(_hear([]))]

        async def ask(budget: Budget, relay: Relay, number: int) -> None:
            view = engine.within(budget).with_listener(relay.say, relay.gauge)
            await view.complete(question(number), asker="test")

        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(ask, budgets[0], relays[0], number)
            await loopback.wait_for(6)
            assert relays[0].gauge.sentence == "6 of 6 calls in flight."
            group.cancel_scope.cancel()
        loopback.late_s = 0.0
        loopback.bodies.clear()
        async with anyio.create_task_group() as group:
            for number in range(100, 130):
                group.start_soon(ask, budgets[0], relays[0], number)
            for number in range(200, 210):
                group.start_soon(ask, budgets[1], relays[1], number)
        asked = [int(body["messages"][0]["content"][6:-1]) for body in loopback.bodies]
        # The small job is done while the large one still waits.
        assert max(place for place, number in enumerate(asked) if number >= 200) < 30


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
