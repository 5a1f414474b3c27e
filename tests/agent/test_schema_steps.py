"""Models whose servers take no tools: each answer is a step by a schema."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from agent.events import TextDelta, ToolFinished, TurnEnd
from agent.schema_steps import SaidText, read_step
from chat_server import serve_chat
from kiln_mcp.llm import EngineSettings, ModelAnswer, ServerSettings
from small_workbench import SmallWorkbench
from talks import chat_options, events_of, talk

PIECE = 7


def step(say: str, tool: str = "none", **arguments: object) -> str:
    return json.dumps({"say": say, "tool": tool, "arguments": arguments})


@dataclass
class ServerWithoutTools:
    """Streams answers written beforehand; a request with tools is refused.

    Attributes:
        answers: The answers, in order.
        requests: The requests that it answered.
        refused: How many requests it refused.
    """

    answers: Sequence[str]
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    refused: int = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if "tools" in body:
            self.refused += 1
            error = {"message": "registry.ollama.ai/library/m does not support tools"}
            return web.json_response({"error": error}, status=400)
        text = self.answers[len(self.requests)]
        self.requests.append(body)
        head = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        if not body.get("stream"):
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            return web.json_response({**head, "choices": [choice], "usage": usage})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for place in range(0, len(text), PIECE):
            delta = {"content": text[place : place + PIECE]}
            line = {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
            await response.write(f"data: {json.dumps(line)}\n\n".encode())
        end: dict[str, Any] = {
            **head,
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        }
        await response.write(f"data: {json.dumps(end)}\n\ndata: [DONE]\n\n".encode())
        return response


async def test_a_model_without_tools_calls_them_by_steps(tmp_path: Path) -> None:
    server = ServerWithoutTools(
        [
            # The first refusal is met by the engine's own words.
            json.dumps({"tool": "find_tools", "arguments": {"words": "look at, wipe everything"}}),
            step("It is “dark”.\nI look in the house.", "look", place="house"),
            step("", "wipe"),
            step("Both are empty."),
        ]
    )
    workbench = SmallWorkbench()
    with anyio.fail_after(60):
        async with serve_chat(server.chat) as address:
            engine = EngineSettings(environment={}, servers=(ServerSettings("own", address),))
            options = chat_options(tmp_path, engine=engine, model="own/m")
            async with talk(options, None, workbench.server, asks_itself=False) as chat:
                events = await events_of(chat.conversation, "What is there?")
                messages = chat.conversation.messages
    assert events[-1] == TurnEnd("answered")
    assert events[-1] == TurnEnd("answered")
    calls = [event.name for event in events if isinstance(event, ToolFinished)]
    assert (calls, workbench.wiped, server.refused) == (["find_tools", "look", "wipe"], 1, 1)
    said = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(said) == "It is “dark”.\nI look in the house.Both are empty."
    assert len(said) > 4
    assert messages[-1].content == "Both are empty."
    schema = server.requests[1]["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["say", "tool", "arguments"]
    assert set(schema["properties"]["tool"]["enum"]) >= {"none", "look", "wipe"}
    last = server.requests[3]["messages"]
    assert '"tool": "look", "arguments": {"place": "house"}' in str(last)
    assert "Result of look" in str(last)


@pytest.mark.parametrize("length", [1, 2, 3, 50])
def test_what_a_step_says_is_read_from_any_pieces(length: int) -> None:
    text = 'A "quoted" \\ line\n\tand “ü” \u00e9 \U0001f389!'
    for source in (step(text), json.dumps({"say": text, "tool": "x"}, ensure_ascii=False)):
        said = SaidText()
        pieces = [source[place : place + length] for place in range(0, len(source), length)]
        assert "".join(map(said.take, pieces)) == text


def test_an_answer_that_is_no_step_stays_as_it_is() -> None:
    answer = ModelAnswer("cut off", value=None, finish="length")
    assert read_step(answer, 1) == answer
