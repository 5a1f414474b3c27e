"""In a home without a daemon, a client lists the tools at once and calls them soon."""

import json
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import anyio
import anyio.to_thread
import pytest

from kiln_mcp.catalogue import with_extensions
from kiln_mcp.doors.bridge import Bridge, Daemon, Exchange
from kiln_mcp.doors.bridge.cold_start import ColdStart
from kiln_mcp.doors.bridge.first_answers import load_first_answers
from kiln_mcp.doors.daemon import serve
from kiln_mcp.llm import EngineSettings
from kiln_mcp.settings import Settings

Message = dict[str, Any]
CLIENT: Final = {"name": "client", "version": "1"}
ENVELOPE: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
HANDSHAKE: Final = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
BEGINNINGS: Final[dict[str, list[Message]]] = {
    "legacy": [
        {"id": 1, "method": "initialize", "params": HANDSHAKE},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
    ],
    "modern": [
        {"id": 1, "method": "server/discover", "params": {"_meta": ENVELOPE}},
        {"id": 2, "method": "tools/list", "params": {"_meta": ENVELOPE}},
    ],
}


class Ends:
    """The two ends of a client: what it writes, and what it reads."""

    def __init__(self) -> None:
        client_in, server_out = os.pipe()
        server_in, client_out = os.pipe()
        self.incoming: BinaryIO = os.fdopen(server_in, "rb")
        self.outgoing: BinaryIO = os.fdopen(server_out, "wb")
        self._reader: BinaryIO = os.fdopen(client_in, "rb")
        self._writer: BinaryIO = os.fdopen(client_out, "wb")

    def send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._writer.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self._writer.flush()

    async def answer(self) -> Message:
        line = await anyio.to_thread.run_sync(self._reader.readline)
        message: Message = json.loads(line)
        return message

    def end(self) -> None:
        self._writer.close()

    def close(self) -> None:
        for stream in (self.incoming, self.outgoing, self._reader, self._writer):
            stream.close()


@asynccontextmanager
async def serving(home: Path) -> AsyncGenerator[Daemon]:
    engine = EngineSettings(
        response_cache=home / "responses.sqlite", orders=home / "orders.sqlite", environment={}
    )
    there = Daemon(home)

    def stop() -> None:
        with Exchange(there.address, "POST", "/stop", {}, b"") as exchange:
            exchange.send()

    async with anyio.create_task_group() as group:
        settings = Settings(home=home, engine=engine)
        group.start_soon(partial(serve, settings, with_extensions(())))
        while not (home / "daemon.json").exists():  # noqa: ASYNC110 - it is another program's
            await anyio.sleep(0.01)
        await anyio.to_thread.run_sync(there.find)
        try:
            yield there
        finally:
            await anyio.to_thread.run_sync(stop)


def carry(start: ColdStart, daemon: Daemon, outgoing: BinaryIO) -> None:
    """Carry what waits, as the program does when the daemon is there."""
    handshake = start.end()
    bridge = Bridge(daemon, start.lines(), outgoing, {"kiln-mcp-client": "test"})
    if handshake is not None:
        bridge.resume(*handshake)
    bridge.run()


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_tools_are_listed_without_a_daemon_and_called_when_one_runs(
    tmp_path: Path, era: str
) -> None:
    answers = load_first_answers([])
    assert answers is not None
    ends = Ends()
    start = ColdStart(ends.incoming, ends.outgoing, answers)
    meta = {"_meta": ENVELOPE} if era == "modern" else {}
    call = {"name": "check_job", "arguments": {}, **meta}
    ends.send([*BEGINNINGS[era], {"id": 3, "method": "tools/call", "params": call}])
    with anyio.fail_after(60):
        first, listed = await ends.answer(), await ends.answer()
        assert (first["id"], listed["id"]) == (1, 2)
        assert "check_job" in {tool["name"] for tool in listed["result"]["tools"]}
        assert [item async for item in anyio.Path(tmp_path).iterdir()] == []
        async with serving(tmp_path) as daemon, anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, carry, start, daemon, ends.outgoing)
            called = await ends.answer()
            ends.send([{"id": 4, "method": "tools/list", "params": meta}])
            listed_again = await ends.answer()
            ends.end()
            assert called["id"] == 3
            assert called["result"]["structuredContent"] == {"jobs": []}
            assert listed_again == {**listed, "id": 4}
    ends.close()
