"""Daemons that go away one after another under a request, as the bridge sees them."""

import json
import os
import socket
import threading
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from kiln_mcp.doors.bridge import Bridge, Daemon
from kiln_mcp.doors.bridge.http_client import DaemonAddress
from kiln_mcp.doors.bridge.transport import MOST_DAEMONS

READS: Final = "check_job"
WRITES: Final = "build_spec"
HANDSHAKE: Final[Mapping[str, object]] = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {},
}


class Mortal(Daemon):
    """A daemon that is killed amid every tool call, and found again, until the last one."""

    def __init__(self, home: Path, kills: int) -> None:
        super().__init__(home)
        self.calls = 0
        self.sessions = 0
        self._kills = kills
        self._listening: socket.socket | None = None
        self.find()

    def find(self, *, replacing: bool = False) -> None:
        if self._listening is None:
            self._listening = socket.create_server(("127.0.0.1", 0))
            self.address = DaemonAddress(self._listening.getsockname()[1], f"token {self.calls}")
            threading.Thread(target=self._serve, args=(self._listening,), daemon=True).start()

    def end(self) -> None:
        if self._listening is not None:
            self._listening.close()

    def _serve(self, listening: socket.socket) -> None:
        own = 0
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as request:
                headers = iter(lambda: request.readline().strip().lower(), b"")
                head = dict(line.split(b": ", 1) for line in list(headers)[1:])
                body = request.read(int(head[b"content-length"])) or b"{}"
                message = json.loads(body)
                known = head.get(b"mcp-session-id") == b"%d" % own
                if message.get("method") == "initialize":
                    self.sessions += 1
                    own = self.sessions
                elif message.get("method") == "tools/call" and known:
                    self.calls += 1
                    if self.calls <= self._kills:
                        self._listening = None
                        listening.close()
                        return
                elif not known:
                    connection.sendall(b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n")
                    continue
                reply = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": RESULT})
                said = f"HTTP/1.1 200 OK\r\nMcp-Session-Id: {own}\r\nContent-Length: {len(reply)}"
                connection.sendall(f"{said}\r\n\r\n{reply}".encode())


RESULT: Final = {
    "protocolVersion": "2025-11-25",
    "tools": [
        {"name": READS, "annotations": {"readOnlyHint": True}},
        {"name": WRITES, "annotations": {"readOnlyHint": False}},
    ],
}


@pytest.fixture
def mortal(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Mortal]:
    mortal = Mortal(tmp_path, request.param)
    yield mortal
    mortal.end()


def ask(daemon: Daemon, tool: str) -> dict[str, Any]:
    """Return what a client of the handshake era hears of a tool that it calls."""
    call: Mapping[str, object] = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": tool},
    }
    (for_bridge, to_bridge), (from_bridge, for_client) = os.pipe(), os.pipe()
    with (
        os.fdopen(for_bridge, "rb") as incoming,
        os.fdopen(for_client, "wb") as outgoing,
        os.fdopen(from_bridge, "rb") as heard,
    ):
        bridge = threading.Thread(target=Bridge(daemon, incoming, outgoing).run)
        bridge.start()
        with os.fdopen(to_bridge, "wb") as said:
            lines = (json.dumps(message).encode() + b"\n" for message in (HANDSHAKE, call))
            said.writelines(lines)
            said.flush()
            answers = [json.loads(heard.readline()) for _ in range(2)]
        bridge.join()
    return answers[1]


@pytest.mark.parametrize("mortal", [1, 4, MOST_DAEMONS - 2], indirect=True)
def test_who_only_reads_is_answered_through_kill_after_kill(mortal: Mortal) -> None:
    assert "result" in ask(mortal, READS)


@pytest.mark.parametrize("mortal", [1000], indirect=True)
def test_daemons_that_always_go_away_are_not_asked_for_ever(mortal: Mortal) -> None:
    told = ask(mortal, READS)["error"]["message"]
    assert f"{MOST_DAEMONS} times in a row" in told
    assert "Ask again" in told
    assert "daemon.log" in told
    assert mortal.calls == MOST_DAEMONS


@pytest.mark.parametrize("mortal", [1000], indirect=True)
def test_what_changes_something_is_asked_once(mortal: Mortal) -> None:
    assert "which may be done or not" in ask(mortal, WRITES)["error"]["message"]
    assert mortal.calls == 1
