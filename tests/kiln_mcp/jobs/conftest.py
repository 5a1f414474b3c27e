"""A loopback model server that counts."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import anyio
import pytest
from aiohttp import web


@dataclass(slots=True)
class CountingServer:
    """An OpenAI-compatible server on the loopback that answers every request differently.

    Attributes:
        asked: The last message of every request, in the order of their arrival.
        at_once: The most requests that were on their way at the same time.
        latency_s: How long it thinks.
        address: Up to and including `/v1`.
    """

    asked: list[str] = field(default_factory=list[str])
    arrived: list[float] = field(default_factory=list[float])
    at_once: int = 0
    latency_s: float = 0.02
    address: str = ""
    _open: int = 0
    _more: anyio.Event = field(default_factory=anyio.Event)

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = str(body["messages"][-1]["content"])
        self.asked.append(text)
        self.arrived.append(anyio.current_time())
        self._open += 1
        self.at_once = max(self.at_once, self._open)
        self._more.set()
        self._more = anyio.Event()
        try:
            await anyio.sleep(self.latency_s)
        finally:
            self._open -= 1
        message = {"role": "assistant", "content": f"answer to {text}"}
        return web.json_response(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "tiny",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        )

    async def until_asked(self, count: int) -> None:
        """Wait until so many requests have arrived in all."""
        while len(self.asked) < count:
            await self._more.wait()


@pytest.fixture
async def counting() -> AsyncGenerator[CountingServer]:
    server = CountingServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    # The server must see that a killed client is gone, or the request counts as open for ever.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    [(_, port)] = [address[:2] for address in runner.addresses]
    server.address = f"http://127.0.0.1:{port}/v1"
    yield server
    await runner.cleanup()
