"""When no more calls are to be sent: those on their way are awaited, those in the queue are not."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from kiln_mcp.llm import (
    Budget,
    BudgetLimit,
    Engine,
    EngineSettings,
    Expense,
    Message,
    ModelRequest,
    ServerSettings,
)
from kiln_mcp.llm.errors import BudgetSpent

Loopback = Any  # the fixture's class lives in conftest


def model_request(number: int) -> ModelRequest:
    return ModelRequest("p/tiny", (Message("user", f"Hello {number}?"),))


def engine_of(server: Loopback, at_once: int, **settings: Any) -> Engine:
    servers = (ServerSettings("p", server.address, concurrency=at_once),)
    return Engine(EngineSettings(servers=servers, environment={}, **settings))


@asynccontextmanager
async def asking(
    engine: Engine, budget: Budget, server: Loopback, count: int, sent: int
) -> AsyncGenerator[None]:
    """Ask so many questions at once, until the block ends; it begins when some are sent."""
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:

            async def ask(number: int) -> None:
                await engine.complete(model_request(number), asker="item", budget=budget)

            for number in range(count):
                group.start_soon(ask, number)
            await server.wait_for(sent)
            yield
            group.cancel_scope.cancel()


@pytest.mark.parametrize("at_once", [1, 3])
async def test_calls_in_the_queue_are_not_sent_once_a_budget_is_held(
    loopback: Loopback, at_once: int
) -> None:
    loopback.late_s = 0.2
    async with engine_of(loopback, at_once) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit())
        async with asking(engine, budget, loopback, 8, at_once):
            await budget.hold()
    assert len(loopback.bodies) == budget.expense.calls == at_once
    assert budget.losses == Expense()


async def test_a_call_that_waits_for_its_retry_does_not_delay_a_pause(
    loopback: Loopback,
) -> None:
    loopback.fail(429, "slow down", retry_after="45")
    async with engine_of(loopback, 1) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit())
        async with asking(engine, budget, loopback, 1, 1):
            await budget.hold()
    assert budget.expense == Expense()


async def test_calls_of_others_pass_while_a_budget_is_held(loopback: Loopback) -> None:
    loopback.late_s = 0.1
    async with engine_of(loopback, 1) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit())
        async with asking(engine, budget, loopback, 3, 1):
            await budget.hold()
            assert (await engine.complete(model_request(9), asker="other")).text == "hello"
    assert len(loopback.bodies) == 2


async def test_no_call_is_sent_after_the_time_and_in_flight_calls_are_awaited(
    loopback: Loopback,
) -> None:
    loopback.late_s = 0.5
    async with engine_of(loopback, 2) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit(seconds=0.3))
        with pytest.raises(ExceptionGroup) as stopped:
            async with asking(engine, budget, loopback, 6, 2):
                await anyio.sleep_forever()
        assert len(loopback.bodies) == budget.expense.calls == 2
        assert budget.losses == Expense()
        assert "the 0.3 s are over, and in-flight calls were awaited. Finished" in str(
            budget.refusal
        )
        assert stopped.group_contains(BudgetSpent)
        again = [await engine.complete(model_request(number), asker="item") for number in range(2)]
    assert all(answer.is_cached for answer in again)


async def stopped(engine: Engine, budget: Budget, *requests: ModelRequest) -> list[BudgetSpent]:
    """Ask all at once; return what stopped each."""
    refusals: list[BudgetSpent] = []

    async def ask(request: ModelRequest) -> None:
        try:
            await engine.complete(request, asker="item", budget=budget)
        except BudgetSpent as refusal:
            refusals.append(refusal)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for request in requests:
                group.start_soon(ask, request)
    return refusals


async def test_a_server_that_never_answers_does_not_keep_a_job_after_its_time(
    loopback: Loopback,
) -> None:
    loopback.late_s = 600.0
    async with engine_of(loopback, 2, awaited_s=0.1) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit(seconds=0.3))
        refusals = await stopped(engine, budget, *map(model_request, range(5)))
        assert (await engine.budget("jobs/1", BudgetLimit())).losses == budget.losses
    assert [refusal.kind for refusal in refusals] == ["seconds"] * 5
    assert len(loopback.bodies) == budget.expense.calls == budget.losses.calls == 2
    said = "the 0.3 s are over, and in-flight calls were awaited; 2 calls got no answer and"
    assert said in str(refusals[0])


async def test_a_call_that_waits_for_its_turn_behind_others_ends_with_the_time_of_its_job(
    loopback: Loopback,
) -> None:
    loopback.late_s = 600.0
    async with engine_of(loopback, 1, awaited_s=0.1) as engine:
        other = await engine.budget("jobs/2", BudgetLimit())
        async with asking(engine, other, loopback, 1, 1):
            budget = await engine.budget("jobs/1", BudgetLimit(seconds=0.1))
            [refusal] = await stopped(engine, budget, model_request(7))
            [same] = await stopped(
                engine, budget, model_request(0)
            )  # as is on its way for the other
    assert (refusal.kind, same.kind, budget.expense) == ("seconds", "seconds", Expense())


async def test_work_orders_are_withdrawn_at_the_end_of_the_time_and_cost_nothing() -> None:
    orders = [ModelRequest("host", (Message("user", f"Order {n}?"),)) for n in range(3)]
    async with Engine(EngineSettings(environment={})) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit(seconds=0.3))
        refusals = await stopped(engine, budget, *orders)
        assert await engine.orders.open_count() == 0
    assert budget.expense == Expense()
    assert "3 work orders that were not answered cost nothing" in str(refusals[0])


async def test_an_early_end_of_the_time_ends_what_hangs_as_well(loopback: Loopback) -> None:
    loopback.late_s = 600.0
    async with engine_of(loopback, 2, awaited_s=0.1) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit(seconds=500.0))
        with pytest.raises(ExceptionGroup) as ended:
            async with asking(engine, budget, loopback, 2, 2):
                await budget.check_time(1000.0, "the server asks to wait")
        assert ended.group_contains(BudgetSpent, match="the server asks to wait")
    assert budget.losses.calls == 2
