"""Tools of an MCP server at an address."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import uvicorn
from mcp.server.mcpserver import MCPServer
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from program_bench import open_program_bench
from storage.errors import WorkbenchError


@asynccontextmanager
async def serve(keys: list[str]) -> AsyncGenerator[str]:
    """Serve a tool on the loopback; keep the secret header of each request."""
    server = MCPServer("shouter")

    @server.tool()
    def shout(text: str) -> str:
        """Say a text loudly."""
        return text.upper()

    inner: ASGIApp = server.streamable_http_app()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            keys.append(Request(scope).headers.get("x-api-key", ""))
        await inner(scope, receive, send)

    web_server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="on"))
    async with anyio.create_task_group() as group:
        group.start_soon(web_server.serve)
        with anyio.fail_after(60):
            while not web_server.started:  # noqa: ASYNC110 - it has no event
                await anyio.sleep(0.01)
        port = web_server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/mcp"
        web_server.should_exit = True


@pytest.mark.slow
async def test_a_tool_at_an_address_gets_the_header_from_a_variable(tmp_path: Path) -> None:
    keys: list[str] = []
    environment = {"SHOUT_KEY": "the-shout-key"}
    async with (
        serve(keys) as address,
        open_program_bench(tmp_path, {"a": "A"}, environment=environment) as bench,
    ):
        server = {"start": address, "headers": {"X-Api-Key": "${SHOUT_KEY}"}}
        await bench.create("mcp: shouter/shout", settings={"servers": {"shouter": server}})
        report = await bench.run()
        assert report.table[0].mean == 1
        assert set(keys) == {"the-shout-key"}


async def test_a_server_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    async with open_program_bench(tmp_path, {"a": "A"}) as bench:
        settings = {"servers": {"shouter": "http://127.0.0.1:9/mcp"}}
        await bench.create("mcp: shouter/shout", settings=settings)
        with pytest.raises(WorkbenchError, match="MCP server 'shouter'"):
            await bench.run()
