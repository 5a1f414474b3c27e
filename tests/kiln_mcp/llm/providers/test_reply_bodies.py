"""Replies come whole, however large an answer may be, and no larger ones fill the memory."""

import gzip
import json
from typing import Any

import pytest
from aiohttp import web

from kiln_mcp.llm import Engine, EngineSettings, Message, ModelRequest, ServerSettings
from kiln_mcp.llm.errors import BadAnswer, ModelError

Loopback = Any  # the fixture's class lives in conftest
ASKED = ModelRequest("local/tiny", (Message("user", "Go on."),))


def _engine(loopback: Loopback) -> Engine:
    server = ServerSettings("local", loopback.address)
    return Engine(EngineSettings(environment={}, servers=(server,), first_wait_s=0.01))


async def test_an_answer_of_a_megabyte_comes_whole(loopback: Loopback) -> None:
    loopback.text = "word " * 200_000
    async with _engine(loopback) as engine:
        answer = await engine.complete(ASKED, asker="test")
    assert answer.text == loopback.text


@pytest.mark.parametrize("size", [17 * 2**20, 200 * 2**20])
async def test_a_reply_that_is_small_only_while_packed_is_not_unpacked_whole(
    loopback: Loopback, size: int
) -> None:
    head = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    loopback.replies.append(web.Response(body=gzip.compress(bytes(size), 1), headers=head))
    async with _engine(loopback) as engine:
        with pytest.raises(ModelError, match="it is larger than 16 MiB"):
            await engine.complete(ASKED, asker="test")


async def test_calls_of_tools_that_nobody_offered_are_no_answer_by_a_schema(
    loopback: Loopback,
) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "empty", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    reply = {"id": "1", "object": "chat.completion", "created": 0, "choices": [choice]}
    loopback.replies.extend(web.Response(text=json.dumps(reply)) for _ in range(9))
    asked = ModelRequest("local/tiny", ASKED.messages, schema={"type": "object"})
    async with _engine(loopback) as engine:
        with pytest.raises(BadAnswer):
            await engine.complete(asked, asker="test")
