"""An HTTP endpoint on the loopback that keeps what it was asked."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Server:
    """A server that keeps what it was asked."""

    address: str
    bodies: list[object] = field(default_factory=list[object])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    queries: list[dict[str, str]] = field(default_factory=list[dict[str, str]])


@asynccontextmanager
async def serve(answer: Callable[[int], web.Response]) -> AsyncGenerator[Server]:
    """Serve answers by the number of the request."""
    server = Server("")

    async def handle(request: web.Request) -> web.Response:
        text = await request.text()
        server.bodies.append(json.loads(text) if text else None)
        server.headers.append(dict(request.headers))
        server.queries.append(dict(request.query))
        return answer(len(server.bodies))

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.address = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
