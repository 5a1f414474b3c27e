"""An OpenAI-compatible server on the loopback, whose replies the tests write."""

import json
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
from aiohttp import web


class Loopback:
    """Replies with what was put into `replies`, then with `text`.

    Attributes:
        bodies: The JSON bodies of every request.
        headers: The headers of every request.
    """

    def __init__(self) -> None:
        self.replies: deque[web.Response] = deque()
        self.text = "hello"
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.address = ""

    async def chat(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        return self.replies.popleft() if self.replies else self.reply()

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "tiny"}]})

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
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [(_, port)] = [address[:2] for address in runner.addresses]
    server.address = f"http://127.0.0.1:{port}/v1"
    yield server
    await runner.cleanup()
