from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import pytest

from kiln_mcp.llm import BudgetLimit, Engine, EngineSettings, Message, ModelRequest, ServerSettings
from kiln_mcp.llm.errors import BudgetSpent, ModelError, TooManyRequests
from kiln_mcp.llm.providers.http_errors import retry_after

Loopback = Any  # the fixture's class lives in conftest


def model_request(number: int = 0) -> ModelRequest:
    return ModelRequest("p/tiny", (Message("user", f"Hello {number}?"),))


def engine_of(server: Loopback, attempts: int = 5, per_minute: int | None = None) -> Engine:
    servers = (ServerSettings("p", server.address, requests_per_minute=per_minute),)
    return Engine(EngineSettings(servers=servers, environment={}, attempts=attempts))


class Ear:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._more = anyio.Event()

    async def hear(self, sentence: str) -> None:
        self.heard.append(sentence)
        self._more.set()
        self._more = anyio.Event()

    async def wait_for(self, count: int) -> None:
        with anyio.fail_after(60):
            while len(self.heard) < count:
                await self._more.wait()


@asynccontextmanager
async def asking(*engines: Engine) -> AsyncGenerator[None]:
    """Let each engine ask once, until the block ends."""
    async with anyio.create_task_group() as group:

        async def ask(engine: Engine, number: int) -> None:
            await engine.complete(model_request(number), asker="test")

        for number, engine in enumerate(engines):
            group.start_soon(ask, engine, number)
        yield
        group.cancel_scope.cancel()


async def test_the_listener_is_told_how_long_the_server_asks_to_wait(loopback: Loopback) -> None:
    loopback.fail(429, "slow down", retry_after="45")
    ear = Ear()
    async with engine_of(loopback) as engine, asking(engine.with_listener(ear.hear)):
        await ear.wait_for(1)
    assert ear.heard == ["The server of 'p/tiny' asks to wait 45 s."]


@pytest.mark.parametrize("status", [429, 503])
async def test_other_callers_of_a_paused_server_are_told_too(
    loopback: Loopback, status: int
) -> None:
    loopback.fail(status, "slow down", retry_after="45")
    ear = Ear()
    async with engine_of(loopback, attempts=1) as engine:
        with pytest.raises(Exception, match="slow down"):
            await engine.complete(model_request(), asker="first")
        heard = engine.with_listener(ear.hear)
        async with asking(heard, heard):
            await ear.wait_for(2)
    assert ear.heard == ["The server of 'p/tiny' asks to wait 45 s."] * 2
    assert len(loopback.bodies) == 1


async def test_the_listener_is_told_of_a_wait_for_a_configured_limit(loopback: Loopback) -> None:
    ear = Ear()
    async with engine_of(loopback, per_minute=6) as engine:
        heard = engine.with_listener(ear.hear)
        await heard.complete(model_request(9), asker="first")
        async with asking(heard):
            await ear.wait_for(1)
    assert "requests or tokens a minute of 'p/tiny' are used up" in ear.heard[0]


async def test_a_server_that_asks_for_an_hour_is_not_waited_for(loopback: Loopback) -> None:
    loopback.fail(429, "quota", retry_after="3600")
    async with engine_of(loopback) as engine:
        for number in range(2):  # the second is not even sent
            with anyio.fail_after(60), pytest.raises(ModelError, match="asks to wait 60 min"):
                await engine.complete(model_request(number), asker="test")
    assert len(loopback.bodies) == 1


async def test_a_model_that_is_to_wait_long_keeps_no_other_of_its_server_back(
    loopback: Loopback,
) -> None:
    loopback.fail(429, "quota", retry_after="3600")
    async with engine_of(loopback) as engine:
        with pytest.raises(ModelError, match="p/tiny asks to wait 60 min"):
            await engine.complete(model_request(), asker="test")
        with anyio.fail_after(60):
            answer = await engine.complete(replace(model_request(), model="p/other"), asker="test")
    assert answer.text == "hello"
    assert [body["model"] for body in loopback.bodies] == ["tiny", "other"]


@pytest.mark.parametrize("asked_to", ["Fri, 01 Jan 2099 00:00:00 GMT", "99999999999", "inf"])
async def test_a_senseless_retry_after_is_ignored(loopback: Loopback, asked_to: str) -> None:
    loopback.fail(429, "slow down", retry_after=asked_to)
    async with engine_of(loopback) as engine:
        with anyio.fail_after(60):
            assert (await engine.complete(model_request(), asker="test")).text == "hello"


@pytest.mark.parametrize(
    ("seconds", "words"), [("7100", "118 min"), ("40000", "11 hours"), ("260000", "3 days")]
)
async def test_a_long_wait_is_written_in_hours_or_days(
    loopback: Loopback, seconds: str, words: str
) -> None:
    loopback.fail(429, "quota", retry_after=seconds)
    async with engine_of(loopback) as engine:
        with pytest.raises(ModelError, match=f"asks to wait {words}, and a call waits 120 s"):
            await engine.complete(model_request(), asker="test")


async def test_a_wait_that_is_longer_than_the_time_that_is_left_ends_the_job_at_once(
    loopback: Loopback,
) -> None:
    loopback.fail(429, "slow down", retry_after="45")
    async with engine_of(loopback) as engine:
        budget = await engine.budget("jobs/1", BudgetLimit(seconds=30.0))
        said = r"asks to wait 45 s, and \d+ of its 30 s are left"
        with anyio.fail_after(60), pytest.raises(BudgetSpent, match=said):
            await engine.complete(model_request(), asker="test", budget=budget)
    assert budget.refusal is not None


async def test_the_listener_is_not_told_of_a_short_wait(loopback: Loopback) -> None:
    loopback.fail(429, "slow down", retry_after="0.05")
    ear = Ear()
    async with engine_of(loopback) as engine:
        await engine.with_listener(ear.hear).complete(model_request(), asker="test")
    assert ear.heard == []


async def test_the_error_of_the_last_attempt_is_raised(loopback: Loopback) -> None:
    loopback.fail(429, "slow down", retry_after="3600")
    async with engine_of(loopback, attempts=1) as engine:
        with pytest.raises(TooManyRequests, match="asks to wait 60 min"):
            await engine.complete(model_request(), asker="test")


def test_a_retry_after_may_be_a_time() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=100)
    wait = retry_after({"retry-after": format_datetime(soon, usegmt=True)})
    assert wait is not None
    assert 90 < wait < 101
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after({"retry-after": "soon"}) is None
