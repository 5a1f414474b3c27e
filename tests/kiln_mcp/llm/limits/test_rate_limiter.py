import time
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from kiln_mcp.llm import Message, ModelRequest
from kiln_mcp.llm.errors import TooManyRequests
from kiln_mcp.llm.limits.rate_limiter import RateLimiter
from kiln_mcp.llm.limits.shared_limits import ServerLimits

REQUEST = ModelRequest("m", (Message("user", "?"),), max_tokens=1)
OTHER = replace(REQUEST, model="other")


async def passing(gate: RateLimiter, request: ModelRequest = REQUEST) -> None:
    async with gate.request(request):
        await anyio.lowlevel.checkpoint()


async def test_never_more_run_at_once_than_allowed() -> None:
    gate = RateLimiter("m", ServerLimits(concurrency=3))
    running = most = 0

    async def one() -> None:
        nonlocal running, most
        async with gate.request(REQUEST):
            running += 1
            most = max(most, running)
            await anyio.sleep(0.001)
            running -= 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)
    assert most == 3


async def test_a_refusal_for_being_too_fast_narrows_the_gate_and_success_widens_it() -> None:
    gate = RateLimiter("m", ServerLimits(concurrency=12))
    with pytest.raises(TooManyRequests):
        async with gate.request(REQUEST):
            raise TooManyRequests("m", "slow down", 0.0)
    assert gate.width("m") == 8
    for _ in range(60):
        await passing(gate)
    assert gate.width("m") == 12


async def test_retry_after_holds_back_all_requests_to_the_model() -> None:
    gate = RateLimiter("m", ServerLimits(concurrency=4))
    with pytest.raises(TooManyRequests):
        async with gate.request(REQUEST):
            raise TooManyRequests("m", "slow down", 0.1)
    started = time.monotonic()
    await passing(gate)
    assert time.monotonic() - started >= 0.09


async def test_requests_of_a_model_that_pauses_keep_none_of_the_servers_others_waiting() -> None:
    gate = RateLimiter("server", ServerLimits(concurrency=2))
    with pytest.raises(TooManyRequests):
        async with gate.request(REQUEST):
            raise TooManyRequests("m", "slow down", 60.0)
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(passing, gate)
        with anyio.fail_after(5):
            for _ in range(4):
                await passing(gate, OTHER)
        group.cancel_scope.cancel()
    assert (gate.width("m"), gate.width("other")) == (1, 2)


async def test_all_models_of_a_server_together_keep_to_its_own_concurrency() -> None:
    gate = RateLimiter("server", ServerLimits(concurrency=3))
    running = most = 0

    async def one(request: ModelRequest) -> None:
        nonlocal running, most
        async with gate.request(request):
            running += 1
            most = max(most, running)
            await anyio.sleep(0.001)
            running -= 1

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(one, REQUEST if number % 2 else OTHER)
    assert most == 3


async def test_requests_a_minute_are_spread_after_the_first_burst() -> None:
    gate = RateLimiter("m", ServerLimits(requests_per_minute=1200))  # 20 a second, 100 at once
    started = time.monotonic()
    async with anyio.create_task_group() as group:
        for _ in range(104):
            group.start_soon(passing, gate)
    assert 0.1 <= time.monotonic() - started < 2
