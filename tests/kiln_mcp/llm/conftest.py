"""An OpenAI-compatible server on the loopback, whose replies the tests write."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web


def event(chunk: Mapping[str, Any]) -> bytes:
    # Lone surrogates as JSON writes them: escaped.
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode(errors="backslashreplace")


def chunk(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "tiny"}
    return head | {"choices": [choice | more]}


def chunks_of(whole: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a whole reply as the chunks of a stream."""
    [choice] = whole["choices"]
    message = choice["message"]
    yield chunk({"role": "assistant", "content": ""})
    for text in halves(message.get("reasoning_content") or ""):
        yield chunk({"reasoning_content": text})
    for number, text in enumerate(halves(message.get("content") or "")):
        logprobs = choice.get("logprobs")
        yield chunk({"content": text}, **({} if number else {"logprobs": logprobs}))
    for index, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        yield chunk({"tool_calls": [call | {"index": index, "function": function | EMPTY}]})
        for text in halves(function["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
    yield chunk({}, choice["finish_reason"])
    yield chunk({}) | {"choices": [], "usage": whole["usage"]}


EMPTY = {"arguments": ""}


def halves(text: Any) -> list[Any]:
    middle = len(text) // 2
    return [half for half in (text[:middle], text[middle:]) if half]


class Loopback:
    """Replies with what was put into `replies`, then with `text`.

    Attributes:
        bodies: The JSON bodies of every request.
        headers: The headers of every request.
        pieces: The bytes of every stream; None for those of the reply.
        hangs: Whether a stream goes on with comments after that, until its reader goes away.
        hung_up: Set when the reader of a stream that hangs went away.
        ends: Whether a stream ends properly after that, or the connection breaks.
        streams: Whether it answers piece by piece where that is asked.
        late_s: Seconds before every reply.
        names: Of the models that it lists.
        breaks: Where the connection of a whole reply breaks: "before" or "within" it; else "".
    """

    def __init__(self) -> None:
        self.replies: deque[web.Response] = deque()
        self.text = "hello"
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.address = ""
        self.pieces: list[bytes] | None = None
        self.hangs = False
        self.hung_up = asyncio.Event()
        self.ends = True
        self.streams = True
        self.late_s = 0.0
        self.breaks = ""
        self.names = ["tiny"]
        self._more = asyncio.Event()

    async def wait_for(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(60):
            while len(self.bodies) < count:
                self._more.clear()
                await self._more.wait()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self._more.set()
        await asyncio.sleep(self.late_s)
        if self.breaks:
            return await self._broken(request)
        reply = self.replies.popleft() if self.replies else self.reply()
        if not (self.streams and body.get("stream")) or reply.status != 200 or not reply.body:
            return reply
        if reply.content_type != "application/json":
            return reply
        try:
            whole = json.loads(str(reply.text))
            whole["choices"][0]["message"]["role"]
        except (ValueError, LookupError, TypeError):
            return reply
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        if self.pieces is None:
            events = b"".join(event(chunk) for chunk in chunks_of(whole)) + b"data: [DONE]\n\n"
            pieces = [b": still there\n\n", *(events[n : n + 7] for n in range(0, len(events), 7))]
        else:
            pieces = self.pieces
        for piece in pieces:
            await stream.write(piece)
        if self.hangs:
            with suppress(ConnectionError):
                while True:
                    await stream.write(b": still there\n\n")
                    await asyncio.sleep(0.01)
            self.hung_up.set()
        if not self.ends:
            assert request.transport is not None
            request.transport.close()
        return stream

    async def _broken(self, request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Length": "1000"})
        if self.breaks == "within":
            await reply.prepare(request)
            await reply.write(b'{"choices"')
        assert request.transport is not None
        request.transport.close()
        return reply

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": name} for name in self.names]})

    def reply(self, finish: str = "stop", **message: object) -> web.Response:
        choice = {
            "index": 0,
            "finish_reason": finish,
            "message": {"role": "assistant", "content": self.text, **message},
            "logprobs": {
                "content": [
                    {
                        "token": "hello",
                        "logprob": -0.5,
                        "bytes": None,
                        "top_logprobs": [{"token": "hi", "logprob": -1.0, "bytes": None}],
                    }
                ]
            },
        }
        return web.json_response(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "tiny",
                "choices": [choice],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        )

    def fail(self, status: int, message: str, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        text = json.dumps({"error": {"message": message, "type": "error"}})
        self.replies.append(
            web.Response(status=status, text=text, headers=named, content_type="application/json")
        )


@pytest.fixture
async def loopback() -> AsyncGenerator[Loopback]:
    server = Loopback()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/v1/models", server.models)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [(_, port)] = [address[:2] for address in runner.addresses]
    server.address = f"http://127.0.0.1:{port}/v1"
    yield server
    await runner.cleanup()
