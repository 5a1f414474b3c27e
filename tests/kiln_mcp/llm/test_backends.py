"""The response cache, the budgets and the limits that workers share in a real Postgres."""

import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

import anyio
import anyio.to_thread
import psycopg
import pytest

from kiln_mcp.llm import (
    BudgetLimit,
    Engine,
    EngineSettings,
    Message,
    Model,
    ModelAnswer,
    ModelRequest,
    Usage,
)
from kiln_mcp.llm.errors import BudgetSpent, DatabaseFailure, TooManyRequests
from kiln_mcp.llm.limits.postgres_limits import PostgresLimits
from kiln_mcp.llm.limits.rate_limiter import RateLimiter, RateLimiters
from kiln_mcp.llm.limits.shared_limits import ServerLimits
from kiln_mcp.llm.limits.wait_policy import WaitPolicy
from scripted_model import ScriptedModel

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]

WORKERS = 3


def request(text: str, sample: int = 0) -> ModelRequest:
    return ModelRequest("m", (Message("user", text),), max_tokens=10, sample=sample)


def worker(url: str, model: Model) -> Engine:
    return Engine(EngineSettings(shared_database_url=url, environment={}), {"m": model})


@asynccontextmanager
async def rate_limiters(url: str, count: int = WORKERS) -> AsyncGenerator[list[RateLimiters]]:
    async with AsyncExitStack() as stack:
        made = [RateLimiters(PostgresLimits(url)) for _ in range(count)]
        for one in made:
            stack.push_async_callback(one.close)
        yield made


async def test_an_answer_of_one_worker_serves_all_workers(postgres: str) -> None:
    odd = ModelAnswer("ok \0 \ud800 % _", usage=Usage(3, 4, 1, 0.5), reasoning="so")
    async with worker(postgres, ScriptedModel([odd])) as first:
        answer = await first.complete(request("one"), asker="jobs/1/a")
    async with worker(postgres, ScriptedModel(["other"])) as second:
        again = await second.complete(request("one"), asker="jobs/2/a")
        assert again.text == answer.text.replace("\ud800", "\ufffd")
        assert (again.usage, again.is_cached) == (answer.usage, True)
        assert (await second.complete(request("one", sample=1), asker="x")).text == "other"
        assert [one.usage.cost_usd for one in await second.spending("jobs/*")] == [0.5]
        assert [one.usage.calls for one in await second.spending()] == [2]
        assert await second.spending("job_/*") == ()


async def test_known_answers_of_all_workers_are_the_newest_and_each_sample_has_its_own(
    postgres: str,
) -> None:
    async with worker(postgres, ScriptedModel(["old", "new", "sample"])) as first:
        for sample, fresh in ((0, False), (0, True), (1, False)):
            await first.complete(request("one", sample), asker="jobs/1/a", fresh=fresh)
    asked = [request("one", 1), request("two"), request("one")]
    async with worker(postgres, ScriptedModel([])) as second:
        known = await second.known_answers(asked, asker="jobs/2/a")
    assert [answer and answer.text for answer in known] == ["sample", None, "new"]


async def test_after_a_row_that_cannot_be_written_the_next_is(postgres: str) -> None:
    odd = [ModelAnswer("odd", usage=Usage(tokens)) for tokens in (10**30, -1)]
    with anyio.fail_after(30):
        async with worker(postgres, ScriptedModel([*odd, "fine"])) as engine:
            for _ in odd:
                with pytest.raises(DatabaseFailure):
                    await engine.complete(request("one"), asker="a")
            assert (await engine.complete(request("one"), asker="a")).text == "fine"


async def test_many_concurrent_lookups_find_every_answer(postgres: str) -> None:
    texts = [str(number) for number in range(200)]
    async with worker(postgres, ScriptedModel(texts)) as engine:
        for _ in range(2):
            async with anyio.create_task_group() as group:
                for text in texts:

                    async def ask(text: str = text) -> None:
                        await engine.complete(request(text), asker="a")

                    group.start_soon(ask)
        assert [one.usage.calls for one in await engine.spending()] == [200]


class Endless:
    """Takes a request and never answers it."""

    async def complete(self, request: ModelRequest) -> ModelAnswer:
        await anyio.sleep_forever()
        raise AssertionError("nothing wakes it")


async def test_a_budget_counts_the_spending_and_in_flight_calls_of_every_worker(
    postgres: str,
) -> None:
    limit = BudgetLimit(calls=3)
    async with worker(postgres, ScriptedModel(["a"])) as first:
        budget = await first.budget("jobs/1", limit)
        await first.complete(request("one"), asker="a", budget=budget)
    async with worker(postgres, Endless()) as second:
        with anyio.move_on_after(1):
            budget = await second.budget("jobs/1", limit)
            await second.complete(request("two"), asker="a", budget=budget)
    async with worker(postgres, ScriptedModel(["b"])) as third:
        budget = await third.budget("jobs/1", limit)
        assert budget.expense.calls == 2
        await third.complete(request("three"), asker="a", budget=budget)
        with pytest.raises(BudgetSpent):
            await third.complete(request("four"), asker="a", budget=budget)


async def test_all_workers_together_ask_no_more_at_once_than_allowed(postgres: str) -> None:
    allowed, each = ServerLimits(concurrency=4), 150
    running = most = 0

    async with rate_limiters(postgres) as several:

        async def ask(limiters: RateLimiters) -> None:
            rate_limiter = limiters.make("m", allowed)
            left = iter(range(each))

            async def one() -> None:
                nonlocal running, most
                for _ in left:
                    async with rate_limiter.request(request("?")):
                        running += 1
                        most = max(most, running)
                        await anyio.sleep(0.02)
                        running -= 1

            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(one)

        started = time.monotonic()
        async with anyio.create_task_group() as group:
            for one in several:
                group.start_soon(ask, one)
        took = time.monotonic() - started
    assert most == allowed.concurrency
    # 450 calls of 20 ms, four at once, take 2.25 s.
    assert took < 8


async def test_a_worker_gets_a_slot_while_another_worker_is_busy(postgres: str) -> None:
    allowed = ServerLimits(concurrency=2)
    async with rate_limiters(postgres, 2) as (busy, late), anyio.create_task_group() as group:
        rate_limiter = busy.make("m", allowed)

        async def keep_busy() -> None:
            while True:
                async with rate_limiter.request(request("?")):
                    await anyio.sleep(0.01)

        for _ in range(6):
            group.start_soon(keep_busy)
        await anyio.sleep(0.3)
        with anyio.fail_after(30):
            async with late.make("m", allowed).request(request("?")):
                pass
        group.cancel_scope.cancel()


async def test_the_slots_of_a_worker_that_is_gone_are_free_at_once(postgres: str) -> None:
    allowed = ServerLimits(concurrency=1)
    async with rate_limiters(postgres, 2) as (gone, other), anyio.create_task_group() as group:

        async def hold() -> None:
            async with gone.make("m", allowed).request(request("?")):
                held.set()
                await anyio.sleep_forever()

        held = anyio.Event()
        group.start_soon(hold)
        with anyio.fail_after(30):
            await held.wait()
            await anyio.to_thread.run_sync(end_sessions, postgres)
            async with other.make("m", allowed).request(request("?")):
                pass
        group.cancel_scope.cancel()


def end_sessions(url: str) -> None:
    """End the sessions of limits, as the kernel of a killed process does."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'kiln-mcp limits' AND datname = current_database()"
        )


async def test_requests_a_minute_are_those_of_all_workers_together(postgres: str) -> None:
    allowed = ServerLimits(concurrency=50, requests_per_minute=1200)  # 20 a second, 100 at once
    async with rate_limiters(postgres, 2) as several:
        started = time.monotonic()
        async with anyio.create_task_group() as group:
            for one in several:
                rate_limiter = one.make("m", allowed)

                async def ask(rate_limiter=rate_limiter) -> None:  # pyright: ignore[reportMissingParameterType]
                    async with rate_limiter.request(request("?")):
                        pass

                for _ in range(60):
                    group.start_soon(ask)
        assert time.monotonic() - started >= 0.9


async def test_no_request_waits_longer_than_the_rate_of_all_workers_asks_for(postgres: str) -> None:
    allowed = ServerLimits(concurrency=50, requests_per_minute=1200)  # 20 a second, 100 at once
    async with AsyncExitStack() as stack:
        workers = [PostgresLimits(postgres) for _ in range(2)]
        for limits in workers:
            stack.push_async_callback(limits.close)
        shared = [limits.of("m", allowed) for limits in workers]
        started = time.monotonic()
        waits_s = [await limit.take(0) for _ in range(60) for limit in shared]
        elapsed_s = time.monotonic() - started
    assert 1 - elapsed_s <= waits_s[-1] <= 1  # 20 are too many, less those of the time between
    assert max(waits_s) <= 1
    assert set(waits_s[:100]) == {0}


async def test_an_unreachable_database_is_named_without_its_password() -> None:
    url = "postgresql://kiln:secret@127.0.0.1:9/kiln"
    async with worker(url, ScriptedModel([])) as engine:
        with pytest.raises(DatabaseFailure, match=r"127\.0\.0\.1:9/kiln") as raised:
            await engine.spending()
    assert "secret" not in str(raised.value)


async def refuse(rate_limiter: RateLimiter, wait_s: float) -> None:
    """Have a request refused for being too fast."""
    with pytest.raises(TooManyRequests):
        async with rate_limiter.request(request("?")):
            raise TooManyRequests("m", "slow down", wait_s)


async def all_hear(url: str, count: int) -> None:
    """Wait until what so many refusals taught is in the database: it is told in the background."""

    def width() -> float:
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT min(width) FROM kiln_learned").fetchone()
        return row[0] if row and row[0] else 12.0

    for _ in range(500):
        with suppress(psycopg.errors.UndefinedTable):
            if await anyio.to_thread.run_sync(width) <= 12 * (2 / 3) ** count + 0.01:
                return
        await anyio.sleep(0.02)
    raise AssertionError("it was never told")


async def test_a_limit_that_one_worker_learned_holds_for_all_workers(postgres: str) -> None:
    allowed = ServerLimits(concurrency=12)
    running = most = 0
    async with rate_limiters(postgres) as several:
        first, *others = (one.make("m", allowed) for one in several)
        for _ in range(3):
            await refuse(first, 0.01)
        await all_hear(postgres, 3)
        async with others[0].request(request("?")):  # it hears it on its way
            pass
        assert first.width("m") == others[0].width("m") == 3  # 12 · (2/3)³ = 3.6

        async def ask(rate_limiter: RateLimiter) -> None:
            nonlocal running, most
            async with rate_limiter.request(request("?")):
                running += 1
                most = max(most, running)
                await anyio.sleep(0.05)
                running -= 1

        async with anyio.create_task_group() as group:
            for rate_limiter in (first, *others):
                for _ in range(6):
                    group.start_soon(ask, rate_limiter)
        assert 3 <= most <= 6  # successes widen it again, by one a round
        for _ in range(200):  # success gives all workers back what one gained
            await ask(first)
            await ask(others[1])
            if others[1].width("m") > 3:
                return
        raise AssertionError("nothing was given back")


async def test_a_pause_that_a_server_asks_of_one_worker_holds_all_workers(postgres: str) -> None:
    heard: list[str] = []
    said = anyio.Event()

    async def hear(sentence: str) -> None:
        heard.append(sentence)
        said.set()

    allowed = ServerLimits(concurrency=12)
    async with rate_limiters(postgres, 2) as (one, other), anyio.create_task_group() as group:
        await refuse(one.make("m", allowed), 45.0)

        async def ask() -> None:
            async with other.make("m", allowed).request(
                request("?"), WaitPolicy("p/m", listener=hear)
            ):
                raise AssertionError("it did not wait")

        await all_hear(postgres, 1)
        group.start_soon(ask)
        with anyio.fail_after(30):
            await said.wait()
        group.cancel_scope.cancel()
    assert heard == ["The server of 'p/m' asks to wait 45 s."]


async def test_a_model_that_pauses_and_is_narrowed_keeps_no_other_of_its_server_back(
    postgres: str,
) -> None:
    allowed = ServerLimits(concurrency=2)
    other_model = replace(request("?"), model="other")
    async with rate_limiters(postgres, 2) as (one, other), anyio.create_task_group() as group:
        for _ in range(3):
            await refuse(one.make("p", allowed), 45.0)
        await all_hear(postgres, 3)
        rate_limiter = other.make("p", allowed)

        async def ask() -> None:
            async with rate_limiter.request(request("?")):
                raise AssertionError("it did not wait")

        for _ in range(4):
            group.start_soon(ask)
        with anyio.fail_after(30):
            for _ in range(6):
                async with rate_limiter.request(other_model):
                    pass
        assert (rate_limiter.width("m"), rate_limiter.width("other")) == (1, 2)
        group.cancel_scope.cancel()


async def test_a_narrowed_model_has_its_turn_while_another_keeps_the_server_busy(
    postgres: str,
) -> None:
    allowed = ServerLimits(concurrency=4)
    async with rate_limiters(postgres, 2) as (busy, late), anyio.create_task_group() as group:
        narrow = late.make("p", allowed)
        for _ in range(4):
            await refuse(narrow, 0.01)
        await all_hear(postgres, 4)
        rate_limiter = busy.make("p", allowed)

        async def keep_busy() -> None:
            while True:
                async with rate_limiter.request(replace(request("?"), model="other")):
                    await anyio.sleep(0.01)

        for _ in range(8):
            group.start_soon(keep_busy)
        await anyio.sleep(0.3)
        with anyio.fail_after(30):
            async with narrow.request(request("?")):
                pass
        group.cancel_scope.cancel()
