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


async def passing(rate_limiter: RateLimiter, request: ModelRequest = REQUEST) -> None:
    async with rate_limiter.request(request):
        await anyio.lowlevel.checkpoint()


async def test_never_more_run_at_once_than_allowed() -> None:
    rate_limiter = RateLimiter("m", ServerLimits(concurrency=3))
    running = most = 0

    async def one() -> None:
        nonlocal running, most
        async with rate_limiter.request(REQUEST):
            running += 1
            most = max(most, running)
            await anyio.sleep(0.001)
            running -= 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)
    assert most == 3


async def test_a_refusal_for_being_too_fast_narrows_the_gate_and_success_widens_it() -> None:
    rate_limiter = RateLimiter("m", ServerLimits(concurrency=12))
    with pytest.raises(TooManyRequests):
        async with rate_limiter.request(REQUEST):
            raise TooManyRequests("m", "slow down", 0.0)
    assert rate_limiter.width("m") == 8
    for _ in range(60):
        await passing(rate_limiter)
    assert rate_limiter.width("m") == 12


async def test_retry_after_holds_back_all_requests_to_the_model() -> None:
    rate_limiter = RateLimiter("m", ServerLimits(concurrency=4))
    with pytest.raises(TooManyRequests):
        async with rate_limiter.request(REQUEST):
            raise TooManyRequests("m", "slow down", 0.1)
    started = time.monotonic()
    await passing(rate_limiter)
    assert time.monotonic() - started >= 0.09


async def test_requests_of_a_model_that_pauses_keep_none_of_the_servers_others_waiting() -> None:
    rate_limiter = RateLimiter("server", ServerLimits(concurrency=2))
    with pytest.raises(TooManyRequests):
        async with rate_limiter.request(REQUEST):
            raise TooManyRequests("m", "slow down", 60.0)
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(passing, rate_limiter)
        with anyio.fail_after(30):
            for _ in range(4):
                await passing(rate_limiter, OTHER)
        group.cancel_scope.cancel()
    assert (rate_limiter.width("m"), rate_limiter.width("other")) == (1, 2)


async def test_all_models_of_a_server_together_keep_to_its_own_concurrency() -> None:
    rate_limiter = RateLimiter("server", ServerLimits(concurrency=3))
    running = most = 0

    async def one(request: ModelRequest) -> None:
        nonlocal running, most
        async with rate_limiter.request(request):
            running += 1
            most = max(most, running)
            await anyio.sleep(0.001)
            running -= 1

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(one, REQUEST if number % 2 else OTHER)
    assert most == 3


async def test_requests_a_minute_are_spread_after_the_first_burst() -> None:
    rate_limiter = RateLimiter(
        "m", ServerLimits(requests_per_minute=1200)
    )  # 20 a second, 100 at once
    started = time.monotonic()
    async with anyio.create_task_group() as group:
        for _ in range(104):
            group.start_soon(passing, rate_limiter)
    assert 0.1 <= time.monotonic() - started < 4  # 5 s if the burst were spread too
