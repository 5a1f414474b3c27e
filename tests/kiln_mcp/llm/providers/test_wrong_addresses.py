"""What keeps a server from answering is said as it is: a page, a path, a model, a connection."""

from typing import Any

import anyio.lowlevel
import pytest
from aiohttp import web

from kiln_mcp.llm import Engine, EngineSettings, Message, ModelRequest, ServerSettings
from kiln_mcp.llm.errors import (
    ModelError,
    ServerDown,
    ServerFailure,
    UnknownModel,
    WrongAddress,
)
from kiln_mcp.llm.limits.circuit_breaker import FAILURES_TO_OPEN
from kiln_mcp.llm.limits.rate_limiter import RateLimiter
from kiln_mcp.llm.limits.shared_limits import ServerLimits

Loopback = Any  # the fixture's class lives in conftest
PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Who are you?</body></html>"


def model_request(model: str = "tiny") -> ModelRequest:
    return ModelRequest(f"local/{model}", (Message("user", "Hello?"),))


def engine_of(address: str, attempts: int = 5) -> Engine:
    servers = (ServerSettings("local", address),)
    return Engine(EngineSettings(servers=servers, environment={}, attempts=attempts))


async def ask(engine: Engine, request: ModelRequest, how: str) -> None:
    if how == "whole":
        await engine.complete(request, asker="test")
    else:
        _ = [part async for part in engine.stream(request, asker="test")]


@pytest.mark.parametrize("how", ["whole", "streamed"])
async def test_a_web_page_is_reported_as_such_and_not_retried(loopback: Loopback, how: str) -> None:
    loopback.replies.append(web.Response(text=PAGE, content_type="text/html"))
    async with engine_of(loopback.address) as engine:
        said = rf"local/tiny at {loopback.address}: it sent a web page \(Sign in\)"
        with pytest.raises(WrongAddress, match=said):
            await ask(engine, model_request(), how)
    assert len(loopback.bodies) == 1


async def test_an_address_without_its_version_comes_with_a_proposal(
    loopback: Loopback,
) -> None:
    short = loopback.address.removesuffix("/v1")
    async with engine_of(short) as engine:
        with pytest.raises(WrongAddress, match=rf"nothing there \(404\).*; {short}/v1 may be mea"):
            await engine.complete(model_request(), asker="test")
        [described] = [one for one in await engine.models() if one.name.startswith("local/")]
    assert f"{short}/v1 may be meant" in described.note


async def test_a_server_without_a_list_of_models_is_described_so(loopback: Loopback) -> None:
    address = loopback.address.replace("/v1", "/v1/else")
    async with engine_of(address) as engine:
        [described] = [one for one in await engine.models() if one.name.startswith("local/")]
    assert described.note.startswith("The server 'local' has no list of its models at ")


async def test_a_listed_model_that_is_not_there_is_no_close_name_of_itself(
    loopback: Loopback,
) -> None:
    loopback.fail(404, "model 'tiny' not found, try pulling it first")
    async with engine_of(loopback.address) as engine:
        with pytest.raises(UnknownModel, match=r"lists the model 'local/tiny'.*pulling") as refused:
            await engine.complete(model_request(), asker="test")
    assert "Close names" not in str(refused.value)


async def test_a_servers_words_end_as_a_sentence(loopback: Loopback) -> None:
    loopback.replies.append(web.json_response({"choices": []}))
    async with engine_of(loopback.address, attempts=1) as engine:
        with pytest.raises(ModelError, match=r'\{"choices": \[\]\}\. Check'):
            await engine.complete(model_request(), asker="test")


async def fail(rate_limiter: RateLimiter, model: str, error: Exception) -> None:
    with pytest.raises(type(error)):
        async with rate_limiter.request(ModelRequest(model, ())):
            raise error


async def test_a_model_whose_connections_break_does_not_block_the_others() -> None:
    rate_limiter = RateLimiter("loop", ServerLimits())
    await fail(rate_limiter, "bad", ServerFailure("loop/bad", "boom"))
    for _ in range(FAILURES_TO_OPEN):
        await fail(
            rate_limiter, "bad", ServerDown("loop/bad", "it was closed.", is_unanswered=True)
        )
    with pytest.raises(ModelError, match=r"'loop/bad' failed several times .* reason: boom. "):
        async with rate_limiter.request(ModelRequest("bad", ())):
            pass
    async with rate_limiter.request(ModelRequest("good", ())):
        await anyio.lowlevel.checkpoint()


async def test_a_server_that_cannot_be_reached_is_asked_for_none_of_its_models() -> None:
    rate_limiter = RateLimiter("loop", ServerLimits())
    for number in range(FAILURES_TO_OPEN):
        await fail(rate_limiter, f"m{number}", ServerDown("loop/m", "nothing listens there."))
    with pytest.raises(
        ModelError, match=r"'loop' failed several .* reason: nothing listens there. "
    ):
        async with rate_limiter.request(ModelRequest("other", ())):
            pass
