"""Models over HTTP: what an OpenAI-compatible server answers becomes a message or a sentence."""

import base64
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager

import anyio
import pytest
from aiohttp import web

from agent.errors import KeyRefused, ModelFailed, NoSuchModel, ServerDown, TooLong, UnusableAddress
from agent.hosted import LiteLlmChatModel, ModelServer
from agent.messages import Message, ToolCall, ToolDefinition
from agent.model import Piece

# litellm's own types make pydantic and its serializer complain.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Item '.*' on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

LOOK = ToolDefinition("look", "Look.", '{"type": "object", "properties": {}}')
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


@asynccontextmanager
async def serving(
    heard: list[Mapping[str, object]], keys: list[str]
) -> AsyncGenerator[ModelServer]:
    async def complete(request: web.Request) -> web.StreamResponse:
        body: Mapping[str, object] = await request.json()
        heard.append(body)
        keys.append(request.headers["Authorization"])
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

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with anyio.fail_after(60):
            yield ModelServer(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    finally:
        await runner.cleanup()


async def answered(model: LiteLlmChatModel, *said: Message) -> tuple[list[str], Message]:
    pieces: list[str] = []
    async with aclosing(model.answer(said or (HELLO,), [LOOK])) as answer:
        async for part in answer:
            if isinstance(part, Message):
                return pieces, part
            assert isinstance(part, Piece)
            pieces.append(part.text)
    raise AssertionError("no message came")


@pytest.mark.parametrize("name", ["openai/words", "words"])
async def test_an_answer_comes_in_pieces_and_then_whole(name: str) -> None:
    heard: list[Mapping[str, object]] = []
    async with serving(heard, []) as server:
        pieces, message = await answered(LiteLlmChatModel(name, server))
    assert pieces == ["Hel", "lo."]
    assert message == Message("assistant", "Hello.")
    assert heard[0]["model"] == "words"


async def test_calls_that_a_server_names_alike_can_be_told_apart() -> None:
    async with serving([], []) as server:
        _, message = await answered(LiteLlmChatModel("alike", server))
    first, second = message.calls
    assert first.name == second.name == "look"
    assert first.id != second.id


async def test_calls_and_their_answers_go_back_to_the_model_as_it_made_them() -> None:
    heard: list[Mapping[str, object]] = []
    call = Message("assistant", "", (ToolCall("c1", "look", "{}"),))
    async with serving(heard, []) as server:
        model = LiteLlmChatModel("words", server)
        await answered(model, HELLO, call, Message("tool", "seen", call_id="c1"))
    messages = heard[0]["messages"]
    assert isinstance(messages, list)
    assert messages[2] == {"role": "tool", "content": "seen", "tool_call_id": "c1"}


async def test_the_key_for_openai_is_not_sent_to_another_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "precious")
    keys: list[str] = []
    async with serving([], keys) as server:
        await answered(LiteLlmChatModel("words", server))
        await answered(LiteLlmChatModel("words", ModelServer(server.url, "given")))
    assert keys == ["Bearer none", "Bearer given"]


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("refused", KeyRefused, "set KILN_CHAT_API_KEY in the environment"),
        ("missing", NoSuchModel, "There is no model 'missing'"),
        ("broken", ModelFailed, "did not answer: out of memory"),
        ("busy", ModelFailed, "did not answer: slow down"),
        ("long", TooLong, "/new begins another one"),
        ("nothing", ModelFailed, "its answer was empty"),
        ("cut", ModelFailed, "did not answer"),
    ],
)
async def test_every_failure_has_its_own_sentence(
    name: str, error: type[Exception], sentence: str
) -> None:
    async with serving([], []) as server:
        with pytest.raises(error) as caught:
            await answered(LiteLlmChatModel(name, server))
    assert sentence in str(caught.value)
    assert "litellm" not in str(caught.value).replace("litellm's names", "")


async def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(ServerDown) as caught:
        await answered(LiteLlmChatModel("words", ModelServer("http://127.0.0.1:9/v1")))
    assert "Nothing answers at http://127.0.0.1:9/v1" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "variable"),
    [("openai/gpt-4.1", "OPENAI_API_KEY"), ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY")],
)
async def test_a_missing_key_is_named(
    name: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(KeyRefused) as caught:
        await answered(LiteLlmChatModel(name))
    assert f"No key for {name}: set {variable} in the environment" in str(caught.value)


async def test_a_name_without_a_provider_is_explained() -> None:
    with pytest.raises(NoSuchModel) as caught:
        await answered(LiteLlmChatModel("nonsense"))
    assert "Write provider/name" in str(caught.value)


async def test_a_password_in_the_address_is_used_and_never_shown() -> None:
    keys: list[str] = []
    async with serving([], keys) as server:
        address = server.url.replace("http://", "http://me:s%40cret@")
        guarded = ModelServer.at(address, None)
        assert guarded.url == server.url
        async with aclosing(LiteLlmChatModel("words", guarded).answer([HELLO], ())) as parts:
            _ = [part async for part in parts]
        with pytest.raises(KeyRefused) as refused:
            async with aclosing(LiteLlmChatModel("refused", guarded).answer([HELLO], ())) as parts:
                _ = [part async for part in parts]
    assert set(keys) == {"Basic " + base64.b64encode(b"me:s@cret").decode()}
    down = ServerDown("m", guarded.url)
    for shown in (repr(guarded), str(refused.value), str(down)):
        assert "cret" not in shown


@pytest.mark.parametrize("address", ["me:secret@host", "http://me:secret@[x", "http://h:secret"])
def test_an_address_that_is_none_is_refused_without_being_shown(address: str) -> None:
    with pytest.raises(UnusableAddress) as refused:
        ModelServer.at(address, None)
    assert "secret" not in str(refused.value)
