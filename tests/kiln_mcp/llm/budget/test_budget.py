from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.llm import (
    Budget,
    BudgetLimit,
    Engine,
    EngineSettings,
    Expense,
    Message,
    ModelAnswer,
    ModelError,
    ModelRequest,
    ServerSettings,
    Usage,
)
from kiln_mcp.llm.budget.reservation import maximum_expense
from kiln_mcp.llm.errors import BudgetSpent
from kiln_mcp.llm.messages import Tool, ToolCall
from kiln_mcp.llm.prices import Price, litellm_price
from scripted_model import ScriptedModel

Loopback = Any  # the fixture's class lives in conftest


class SlowModel:
    """Answers only after every request of a batch has been sent; counts them."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.sent = 0

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        self.sent += 1
        await anyio.sleep(0.001)
        return ModelAnswer("ok", usage=Usage(self.tokens, 0))


def requests(count: int, max_tokens: int = 10) -> list[ModelRequest]:
    return [
        ModelRequest("m", (Message("user", f"number {n}"),), max_tokens=max_tokens)
        for n in range(count)
    ]


async def run_all(
    engine: Engine, limit: BudgetLimit, count: int, name: str = "jobs/1"
) -> tuple[int, int]:
    """Return how many calls were answered and how many refused."""
    budget = await engine.budget(name, limit)
    answered = refused = 0

    async def one(request: ModelRequest) -> None:
        nonlocal answered, refused
        try:
            await engine.complete(request, asker="item", budget=budget)
            answered += 1
        except BudgetSpent:
            refused += 1

    async with anyio.create_task_group() as group:
        for request in requests(count):
            group.start_soon(one, request)
    return answered, refused


async def test_the_limit_of_calls_is_used_up_and_never_passed() -> None:
    model = SlowModel(tokens=1)
    async with Engine(EngineSettings(environment={}), {"m": model}) as engine:
        assert await run_all(engine, BudgetLimit(calls=7), 20) == (7, 13)
    assert model.sent == 7


async def test_the_limit_of_tokens_is_never_passed_by_calls_at_the_same_time() -> None:
    model = SlowModel(tokens=50)
    async with Engine(EngineSettings(environment={}), {"m": model}) as engine:
        answered, refused = await run_all(engine, BudgetLimit(tokens=500), 30)
    assert refused > 0
    assert 400 <= answered * 50 <= 500


async def test_a_job_that_is_continued_remembers_what_it_spent(tmp_path: Path) -> None:
    model = SlowModel(tokens=1)
    settings = EngineSettings(response_cache=tmp_path / "responses.sqlite", environment={})
    async with Engine(settings, {"m": model}) as engine:
        assert await run_all(engine, BudgetLimit(calls=3), 5) == (3, 2)
    async with Engine(settings, {"m": model}) as engine:
        # The three remembered answers cost nothing; one more call is allowed.
        assert await run_all(engine, BudgetLimit(calls=4), 5) == (4, 1)
    assert model.sent == 4


async def test_a_failed_call_frees_what_was_reserved_for_it() -> None:
    model = ScriptedModel([RuntimeError("broken"), "ok"])
    async with Engine(EngineSettings(environment={}), {"m": model}) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit(calls=1))
        first, second = requests(2)
        with pytest.raises(RuntimeError):
            await engine.complete(first, asker="a", budget=budget)
        assert (await engine.complete(second, asker="a", budget=budget)).text == "ok"


class EndlessModel:
    """Takes a request and never answers it."""

    def __init__(self) -> None:
        self.sent = anyio.Event()

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        self.sent.set()
        await anyio.sleep_forever()
        raise AssertionError("nothing wakes it")


async def test_a_cancelled_call_counts_as_spent_now_and_later(
    tmp_path: Path,
) -> None:
    settings = EngineSettings(response_cache=tmp_path / "responses.sqlite", environment={})
    model = EndlessModel()
    [request] = requests(1)
    most = maximum_expense(request, Price(0.0, 0.0, 0.0))
    async with Engine(settings, {"m": model}) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit(calls=5))

        async def ask() -> None:
            await engine.complete(request, asker="a", budget=budget)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            with anyio.fail_after(60):
                await model.sent.wait()
            group.cancel_scope.cancel()
        assert budget.expense == most
    async with Engine(settings, {"m": ScriptedModel(["ok"])}) as engine:
        again = await engine.budget("jobs/1", BudgetLimit(calls=5))
        assert again.expense == most
        await engine.complete(request, asker="a", budget=again)
        assert (await engine.budget("jobs/1", BudgetLimit())).expense.calls == 2
        assert (await engine.budget("jobs/2", BudgetLimit())).expense.calls == 0


async def test_a_failed_call_is_not_counted_by_a_later_attempt_either(tmp_path: Path) -> None:
    settings = EngineSettings(response_cache=tmp_path / "responses.sqlite", environment={})
    [request] = requests(1)
    async with Engine(settings, {"m": ScriptedModel([RuntimeError("broken")])}) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit())
        with pytest.raises(RuntimeError):
            await engine.complete(request, asker="a", budget=budget)
    async with Engine(settings) as engine:
        assert (await engine.budget("jobs/1", BudgetLimit())).expense.calls == 0


async def test_time_that_an_earlier_attempt_took_counts() -> None:
    async with Engine(EngineSettings(environment={}), {"m": ScriptedModel(["ok"])}) as engine:
        limit = BudgetLimit(seconds=100.0)
        [request] = requests(1)
        late = await engine.budget("jobs/1", limit, seconds=100.0)
        with pytest.raises(BudgetSpent, match="the 100 s are over"):
            await engine.complete(request, asker="a", budget=late)
        early = await engine.budget("jobs/1", limit, seconds=50.0)
        assert (await engine.complete(request, asker="a", budget=early)).text == "ok"


async def test_time_that_is_over_stops_the_next_call() -> None:
    model = SlowModel(tokens=1)
    async with Engine(EngineSettings(environment={}), {"m": model}) as engine:
        assert await run_all(engine, BudgetLimit(seconds=0.0), 2) == (0, 2)


async def test_money_is_kept_to_the_cent_and_unpriced_calls_are_counted(
    loopback: Loopback,
) -> None:
    address = str(loopback.address)
    priced = ServerSettings(
        "p", address, input_usd_per_million=1000.0, output_usd_per_million=2000.0
    )
    unpriced = ServerSettings("u", address)
    async with Engine(EngineSettings(servers=(priced, unpriced), environment={})) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit(cost_usd=0.12))
        named = [ModelRequest("p/tiny", r.messages, max_tokens=10) for r in requests(5)]
        for request in named[:4]:
            await engine.complete(request, asker="a", budget=budget)
        with pytest.raises(BudgetSpent, match=r"\$0.0800 of \$0.1200 is spent"):
            await engine.complete(named[4], asker="a", budget=budget)
        free = ModelRequest("u/tiny", (Message("user", "?"),))
        answer = await engine.complete(free, asker="a", budget=budget)
    # 10 tokens in and 5 out are 0.02 each; the fifth could take 0.06 and pass the limit.
    assert budget.expense.cost_usd == pytest.approx(0.08)
    assert answer.usage.cost_usd is None
    assert budget.expense.unpriced_calls == 1


@given(st.text(max_size=200), st.integers(0, 100))
def test_a_reservation_is_at_least_one_token_a_byte(text: str, max_tokens: int) -> None:
    request = ModelRequest("m", (Message("user", text),), max_tokens=max_tokens)
    most = maximum_expense(request, Price(1.0, 2.0, 1.0))
    assert most.tokens >= len(text.encode()) + max_tokens
    assert most.cost_usd >= len(text.encode()) + 2 * max_tokens


@given(st.text(max_size=50), st.integers(1, 3))
def test_a_reservation_counts_all_that_is_sent_not_the_messages_texts_alone(
    text: str, count: int
) -> None:
    size = len(text.encode())
    called = tuple(ToolCall(f"call_{n}", text, text) for n in range(count))
    request = ModelRequest(
        "m",
        (Message("assistant", "", tool_calls=called), Message("tool", text, tool_call_id=text)),
        schema={"type": "object", "description": text},
        choices=(text,),
        tools=(Tool(text, text, {"description": text}),),
        max_tokens=0,
    )
    assert maximum_expense(request, None).tokens >= size * (2 * count + 2 + 1 + 1 + 3)


@pytest.mark.parametrize(
    ("model", "read", "written", "cached", "cost"),
    [
        ("gemini/gemini-2.5-pro", 200_000, 0, 0, 0.25),
        ("gemini/gemini-2.5-pro", 300_000, 1_000, 0, 0.75 + 0.015),
        ("gemini/gemini-2.5-pro", 300_000, 0, 300_000, 0.075),
        ("dashscope/qwen-flash", 256_000, 0, 0, 0.0128),
        ("dashscope/qwen-flash", 300_000, 1_000, 0, 0.075 + 0.002),
    ],
)
def test_a_long_request_has_the_price_of_long_requests(
    model: str, read: int, written: int, cached: int, cost: float
) -> None:
    price = litellm_price(model)
    assert price is not None
    assert price.cost_usd(read, written, cached) == pytest.approx(cost)
    request = ModelRequest(model, (Message("user", "x" * read),), max_tokens=written)
    assert maximum_expense(request, price).cost_usd >= cost


async def ask_server(server: Loopback, limit: BudgetLimit, **settings: float) -> Budget:
    """Ask a priced server once under a budget; return the budget after that."""
    priced = ServerSettings(
        "p", server.address, input_usd_per_million=1000.0, output_usd_per_million=2000.0
    )
    [request] = requests(1)
    async with Engine(
        EngineSettings(servers=(priced,), environment={}, first_wait_s=0.001, **settings)  # pyright: ignore[reportArgumentType]
    ) as engine:
        budget = await engine.budget("jobs/1", limit)
        with suppress(ModelError, BudgetSpent):
            named = replace(request, model="p/tiny")
            await engine.complete(named, asker="a", budget=budget)
        assert (await engine.budget("jobs/1", limit)).losses == budget.losses  # also after a kill
        return budget


MOST = maximum_expense(requests(1)[0], Price(0.001, 0.002, 0.001))


async def test_a_call_without_an_answer_in_time_counts_as_its_whole_reservation(
    loopback: Loopback,
) -> None:
    loopback.late_s = 60.0
    budget = await ask_server(loopback, BudgetLimit(), timeout_s=0.25, attempts=3)
    assert len(loopback.bodies) == 3
    assert budget.expense == budget.losses == MOST + MOST + MOST


@pytest.mark.parametrize("where", ["before", "within"])
async def test_a_call_whose_connection_broke_after_it_was_sent_counts_as_spent(
    loopback: Loopback, where: str
) -> None:
    loopback.breaks = where
    budget = await ask_server(loopback, BudgetLimit(), attempts=1)
    assert len(loopback.bodies) == 1
    assert budget.expense == budget.losses == MOST


@pytest.mark.parametrize("status", [400, 401, 404, 408, 429])
async def test_a_call_that_was_refused_costs_nothing(loopback: Loopback, status: int) -> None:
    loopback.fail(status, "no")
    loopback.fail(status, "no")
    budget = await ask_server(loopback, BudgetLimit(), attempts=2)
    assert (budget.expense, budget.losses) == (Expense(), Expense())


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_call_that_its_server_failed_counts_like_one_without_an_answer(
    loopback: Loopback, status: int
) -> None:
    for _ in range(5):
        loopback.fail(status, "gateway")
    limit = BudgetLimit(calls=4, cost_usd=2.5 * MOST.cost_usd)
    budget = await ask_server(loopback, limit, attempts=5)
    assert len(loopback.bodies) == 2
    assert budget.expense == budget.losses == MOST + MOST
    assert "2 calls got no answer and count as spent" in str(budget.refusal)


async def test_a_call_that_never_reached_a_server_costs_nothing(loopback: Loopback) -> None:
    loopback.address = "http://127.0.0.1:9/v1"
    budget = await ask_server(loopback, BudgetLimit(), attempts=2)
    assert (budget.expense, budget.losses) == (Expense(), Expense())


async def test_calls_without_an_answer_never_pass_the_limit_and_are_reported(
    loopback: Loopback,
) -> None:
    loopback.late_s = 60.0
    limit = BudgetLimit(cost_usd=2.5 * MOST.cost_usd)
    budget = await ask_server(loopback, limit, timeout_s=0.05, attempts=5)
    assert len(loopback.bodies) == 2
    assert budget.expense.cost_usd == 2 * MOST.cost_usd
    assert "2 calls got no answer and count as spent" in str(budget.refusal)


@pytest.mark.parametrize("limit", [BudgetLimit(cost_usd=0.5), BudgetLimit(tokens=20_000)])
async def test_a_server_that_takes_more_than_it_was_asked_to_is_not_asked_past_the_limit(
    loopback: Loopback, limit: BudgetLimit
) -> None:
    taken = {"prompt_tokens": 100_000, "completion_tokens": 50_000}
    reply = {"choices": [{"message": {"role": "assistant", "content": "ok"}}], "usage": taken}
    loopback.replies.extend(web.json_response(reply) for _ in range(20))
    server = ServerSettings(
        "p",
        loopback.address,
        concurrency=2,
        input_usd_per_million=5.0,
        output_usd_per_million=10.0,
    )
    refusals: list[str] = []
    async with Engine(EngineSettings(servers=(server,), environment={})) as engine:
        budget = await engine.budget("jobs/1", limit)

        async def ask(request: ModelRequest) -> None:
            try:
                await engine.complete(replace(request, model="p/tiny"), asker="a", budget=budget)
            except BudgetSpent as refusal:
                refusals.append(str(refusal))

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for request in requests(8):
                    group.start_soon(ask, request)
    assert len(loopback.bodies) == budget.expense.calls == 2  # all that were sent before one came
    assert len(refusals) == 6
    assert "the server of 'p/tiny' took more than it was asked to: 150,000 tokens" in refusals[0]


async def test_an_excess_of_a_model_raises_the_reservation_of_its_next_call(
    loopback: Loopback,
) -> None:
    taken = {"prompt_tokens": 10, "completion_tokens": 5_000}
    reply = {"choices": [{"message": {"role": "assistant", "content": "ok"}}], "usage": taken}
    loopback.replies.extend(web.json_response(reply) for _ in range(5))
    server = ServerSettings("p", loopback.address)
    first, second, third = (replace(request, model="p/tiny") for request in requests(3))
    async with Engine(EngineSettings(servers=(server,), environment={})) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit(tokens=10_100))
        await engine.complete(first, asker="a", budget=budget)
        await engine.complete(second, asker="a", budget=budget)
        with pytest.raises(BudgetSpent, match="the next call may take up to 5010"):
            await engine.complete(third, asker="a", budget=budget)
    assert budget.expense.tokens == 10_020
