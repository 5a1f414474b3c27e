"""An OpenAI-compatible server on the loopback, whose chats a test answers."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Chat = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serve_chat(chat: Chat) -> AsyncGenerator[str]:
    """Serve chat completions; yields the address that a model server's settings name."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    [(_, port)] = [address[:2] for address in runner.addresses]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        await runner.cleanup()
