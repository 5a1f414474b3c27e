"""The chat model: what an OpenAI-compatible server answers becomes a message or a sentence."""

import base64
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from aiohttp import web

from agent.events import TextDelta
from agent.model import MAX_TOKENS, ChatModel, WholeAnswer, api_base_server
from kiln_mcp.llm import (
    BudgetLimit,
    Engine,
    EngineSettings,
    Message,
    ModelAnswer,
    ServerSettings,
    Tool,
    ToolCall,
    Usage,
)
from no_places import NoPlaces
from scripted_chat import chat_model, scripted
from storage.errors import WorkbenchError

LOOK = Tool("look", "Look.", {"type": "object", "properties": {}})
HELLO = Message("user", "hello")


def chunk(delta: Mapping[str, object], finish: str | None = None) -> bytes:
    body = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return f"data: {json.dumps(body)}\n\n".encode()


def wish(index: int, name: str, **id_: str) -> Mapping[str, object]:
    return {"index": index, "type": "function", "function": {"name": name, "arguments": ""}, **id_}


STREAMS: Mapping[str, list[bytes]] = {
    "words": [chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo."})],
    "late": [chunk({"content": "It is so.\n</think>"}), chunk({"content": "\n\nHi."})],
    "org/words": [chunk({"content": "Hi."})],
    "alike": [
        chunk({"tool_calls": [wish(0, "look", id="c")]}),
        chunk({"tool_calls": [wish(1, "look", id="c")]}),
    ],
    "nothing": [chunk({"role": "assistant", "content": ""})],
}
ERRORS: Mapping[str, tuple[int, str]] = {
    "refused": (401, "bad key"),
    "missing": (404, "The model `missing` does not exist"),
    "broken": (500, "out of memory"),
    "long": (400, "This model's maximum context length is 4096 tokens."),
    "busy": (429, "slow down"),
}


@dataclass
class Server:
    """An OpenAI-compatible server on loopback, and what it was sent."""

    url: str = ""
    bodies: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    keys: list[str | None] = field(default_factory=list[str | None])

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body: Mapping[str, object] = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        model = str(body["model"])
        if model in ERRORS:
            status, message = ERRORS[model]
            return web.json_response({"error": {"message": message}}, status=status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if model == "cut":
            await response.write(chunk({"role": "assistant", "content": "The first"}))
            assert request.transport is not None
            request.transport.close()
            return response
        for part in (*STREAMS[model], chunk({}, "stop"), b"data: [DONE]\n\n"):
            await response.write(part)
        return response


@asynccontextmanager
async def serve() -> AsyncGenerator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.complete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        with anyio.fail_after(60):
            yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def open_model(
    name: str, address: str, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[ChatModel]:
    environment = environment or {}
    settings = EngineSettings(
        servers=(api_base_server(address, environment),), environment=environment, attempts=1
    )
    async with Engine(settings) as engine:
        yield await ChatModel.open(engine, f"api-base/{name}", "one", BudgetLimit(), NoPlaces())


async def collect(model: ChatModel, *messages: Message) -> tuple[list[str], Message]:
    pieces: list[str] = []
    async with aclosing(model.answer(messages or (HELLO,), [LOOK])) as answer:
        async for part in answer:
            if isinstance(part, WholeAnswer):
                return pieces, part.message
            if isinstance(part, TextDelta):
                pieces.append(part.text)
    raise AssertionError("no message came")


async def test_an_answer_comes_in_pieces_and_then_whole() -> None:
    async with serve() as server, open_model("words", server.url) as model:
        pieces, message = await collect(model)
    assert pieces == ["Hel", "lo."]
    assert message == Message("assistant", "Hello.")
    assert server.bodies[0]["model"] == "words"
    assert server.bodies[0]["max_tokens"] == MAX_TOKENS


async def test_reasoning_that_came_as_text_is_taken_back() -> None:
    async with serve() as server, open_model("late", server.url) as model:
        pieces, message = await collect(model)
    assert "".join(pieces).endswith("reasoning.]\nHi.")
    assert message == Message("assistant", "Hi.")


async def test_a_name_with_a_slash_reaches_the_persons_own_server_as_it_is() -> None:
    async with serve() as server, open_model("org/words", server.url) as model:
        _, message = await collect(model)
    assert (server.bodies[0]["model"], message.content) == ("org/words", "Hi.")


async def test_calls_that_a_server_names_alike_can_be_told_apart() -> None:
    async with serve() as server, open_model("alike", server.url) as model:
        _, message = await collect(model)
    first, second = message.tool_calls
    assert first.name == second.name == "look"
    assert first.id != second.id


async def test_tools_and_calls_and_their_results_are_sent_in_the_openai_format() -> None:
    call = Message("assistant", "", (ToolCall("c1", "look", "{}"),))
    async with serve() as server, open_model("words", server.url) as model:
        await collect(model, HELLO, call, Message("tool", "seen", tool_call_id="c1"))
    messages, tools = server.bodies[0]["messages"], server.bodies[0]["tools"]
    assert isinstance(messages, list)
    assert messages[1]["tool_calls"][0]["function"] == {"name": "look", "arguments": "{}"}
    assert messages[2] == {"role": "tool", "content": "seen", "tool_call_id": "c1"}
    function = {"name": "look", "description": "Look.", "parameters": LOOK.parameters}
    assert tools == [{"type": "function", "function": function}]


async def test_the_key_for_openai_is_not_sent_to_another_server() -> None:
    environment = {"OPENAI_API_KEY": "precious"}
    async with serve() as server:
        async with open_model("words", server.url, environment) as model:
            await collect(model)
        own_key = environment | {"KILN_CHAT_API_KEY": "own-key"}
        async with open_model("words", server.url, own_key) as model:
            await collect(model)
    assert server.keys == [None, "Bearer own-key"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("refused", "Set KILN_CHAT_API_KEY in the environment"),
        ("missing", "There is no model 'api-base/missing'"),
        ("broken", "out of memory"),
        ("busy", "slow down"),
        ("long", "reads more with /model NAME"),
        ("nothing", "gave an empty answer"),
        ("cut", "broke off"),
    ],
)
async def test_every_failure_has_its_own_sentence(name: str, sentence: str) -> None:
    async with serve() as server, open_model(name, server.url) as model:
        with pytest.raises(WorkbenchError) as failure:
            await collect(model)
    assert sentence in str(failure.value)
    assert "litellm" not in str(failure.value)


async def test_a_server_that_is_not_there_is_named() -> None:
    async with open_model("words", "http://127.0.0.1:9/v1") as model:
        with pytest.raises(WorkbenchError, match=r"http://127\.0\.0\.1:9/v1"):
            await collect(model)


@pytest.mark.parametrize(
    ("name", "variable"),
    [("openai/gpt-4.1", "OPENAI_API_KEY"), ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY")],
)
@pytest.mark.slow  # imports litellm
async def test_a_missing_key_is_named(
    name: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    async with Engine(EngineSettings(environment={}, attempts=1)) as engine:
        model = await ChatModel.open(engine, name, "one", BudgetLimit(), NoPlaces())
        with pytest.raises(WorkbenchError, match=f"needs {variable}.* start kiln-chat again"):
            await collect(model)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nonsense", "There is no model 'nonsense'"),
        ("", "No model is configured"),
        ("host", "cannot hold a conversation"),
    ],
)
async def test_a_name_that_no_chat_can_have_is_refused_before_anything_is_sent(
    name: str, sentence: str
) -> None:
    async with chat_model() as model:
        with pytest.raises(WorkbenchError, match=sentence):
            model.with_name(name)


async def test_a_password_in_the_address_is_used_and_never_shown() -> None:
    async with serve() as server:
        address = server.url.replace("http://", "http://me:s%40cret@")
        key = {"KILN_CHAT_API_KEY": "the password has priority"}
        async with open_model("words", address, key) as model:
            await collect(model)
        async with open_model("refused", address) as model:
            with pytest.raises(WorkbenchError) as refusal:
                await collect(model)
    async with open_model("words", "http://me:s%40cret@127.0.0.1:9/v1") as model:
        with pytest.raises(WorkbenchError) as outage:
            await collect(model)
    assert set(server.keys) == {"Basic " + base64.b64encode(b"me:s@cret").decode()}
    for text in (repr(api_base_server(address, {})), str(refusal.value), str(outage.value)):
        assert "cret" not in text


@pytest.mark.parametrize("address", ["me:secret@host", "http://me:secret@[x", "http://h:secret"])
def test_an_unusable_address_is_refused_without_being_shown(address: str) -> None:
    with pytest.raises(WorkbenchError, match="not the address of a web server") as refusal:
        api_base_server(address, {})
    assert "secret" not in str(refusal.value)


async def test_a_repeated_question_is_asked_again() -> None:
    script = scripted("one", "two")
    async with chat_model(script) as model:
        answers = [(await collect(model))[1].content for _ in range(2)]
    assert answers == ["one", "two"]


async def test_what_a_chat_costs_is_accounted_to_it_and_counts_when_it_is_resumed(
    tmp_path: Path,
) -> None:
    usage = Usage(input_tokens=100, output_tokens=20, cost_usd=0.25)
    settings = EngineSettings(response_cache=tmp_path / "responses.sqlite", environment={})
    async with chat_model(scripted(ModelAnswer("Hi.", usage=usage)), settings=settings) as model:
        await collect(model)
        assert model.budget.expense.cost_usd == 0.25
    async with chat_model(scripted("Hi."), settings=settings) as model:
        assert (model.budget.expense.calls, model.budget.expense.tokens) == (1, 120)
        assert (await model.for_chat("two")).budget.expense.calls == 0


async def test_a_chat_without_budget_left_asks_nobody() -> None:
    script = scripted("Hi.")
    async with chat_model(script, BudgetLimit(calls=0)) as model:
        with pytest.raises(WorkbenchError, match="budget of this chat"):
            await collect(model)
    assert script.requests == []


async def test_an_answer_that_is_too_long_says_so() -> None:
    async with chat_model(scripted(ModelAnswer("The first", finish="length"))) as model:
        pieces, message = await collect(model)
    assert "".join(pieces) == message.content == "The first\n[The answer was cut off here.]"


ONE_TURN = """
import asyncio, sys
sys.path.append("tests/fakes")
import agent.startup
from agent.model import ChatModel, api_base_server
from kiln_mcp.llm import BudgetLimit, Engine, EngineSettings, Message
from no_places import NoPlaces

async def turn() -> None:
    settings = EngineSettings(servers=(api_base_server(sys.argv[1], {}),), environment={})
    async with Engine(settings) as engine:
        model = await ChatModel.open(engine, "api-base/words", "one", BudgetLimit(), NoPlaces())
        async for part in model.answer([Message("user", "hello")], []):
            last = part
    heavy = {"litellm", "dbos", "sqlalchemy", "scipy", "xllamacpp", "openai", "mcp", "mcp_types"}
    print(last.message.content, sorted(heavy & set(sys.modules)))

asyncio.run(turn())
"""


async def test_a_chat_with_an_own_server_imports_no_heavy_library() -> None:
    async with serve() as server:
        ended = await anyio.run_process(
            [sys.executable, "-c", ONE_TURN, server.url],
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
        )
    assert ended.stdout.decode().strip() == "Hello. []"


def test_a_server_without_a_key_is_sent_none() -> None:
    assert api_base_server("http://h/v1", {}) == ServerSettings("api-base", "http://h/v1")
