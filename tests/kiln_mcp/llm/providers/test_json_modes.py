"""JSON by schema where a server takes one, as any object where it does not, else in words."""

import asyncio
from typing import Any

from kiln_mcp.llm import Engine, EngineSettings, Message, ModelRequest, ServerSettings

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
Loopback = Any  # the fixture's class lives in conftest
NO_SCHEMAS = "response_format json_schema is not supported"


def _engine(loopback: Loopback) -> Engine:
    server = ServerSettings("local", loopback.address)
    return Engine(EngineSettings(environment={}, servers=(server,)))


def _ages(count: int) -> list[ModelRequest]:
    return [
        ModelRequest("local/tiny", (Message("user", f"How old is {n}?"),), schema=AGE)
        for n in range(count)
    ]


async def test_several_requests_at_once_learn_that_a_server_takes_no_schema(
    loopback: Loopback,
) -> None:
    loopback.text = '{"age": 5}'
    for _ in range(3):
        loopback.fail(400, NO_SCHEMAS)
    async with _engine(loopback) as engine:
        asked = [engine.complete(request, asker="test") for request in _ages(3)]
        answers = await asyncio.gather(*asked)
    assert [answer.value for answer in answers] == [{"age": 5}] * 3
    forms = [body["response_format"]["type"] for body in loopback.bodies]
    assert forms == ["json_schema"] * 3 + ["json_object"] * 3
    assert "schema" in loopback.bodies[-1]["messages"][-1]["content"]


async def test_a_server_without_any_json_mode_is_asked_in_words(loopback: Loopback) -> None:
    loopback.text = '{"age": 5}'
    loopback.fail(400, NO_SCHEMAS)
    loopback.fail(400, "unknown field response_format")
    async with _engine(loopback) as engine:
        for request in _ages(2):
            assert (await engine.complete(request, asker="test")).value == {"age": 5}
    assert ["response_format" in body for body in loopback.bodies] == [True, True, False, False]
