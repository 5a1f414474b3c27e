"""Clients that send garbage, too much or too many at once, or that leave."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from bridge_client import BRIDGE
from kiln_mcp.doors.bridge import Daemon, Exchange

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[4]
META: Final[Mapping[str, object]] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
HANDSHAKE: Final = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
ERAS: Final = ("auto", "legacy")


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "KILN_MCP_HOME": str(home), "PYTHONPATH": str(ROOT)}


def daemon_record(home: Path) -> dict[str, Any]:
    return json.loads((home / "daemon.json").read_text(encoding="utf-8"))


def stop(home: Path) -> None:
    if (home / "daemon.json").exists():
        running = Daemon(home)
        running.find()
        with Exchange(running.address, "POST", "/stop", {}, b"") as exchange:
            exchange.send()


@pytest.fixture
def home(tmp_path: Path) -> Generator[Path]:
    yield tmp_path
    stop(tmp_path)


@pytest.fixture(scope="module")
def one_home(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    home = tmp_path_factory.mktemp("home")
    yield home
    stop(home)


class RawClient:
    """A client that says whatever bytes it is given."""

    def __init__(self, bridge: "subprocess.Popen[bytes]", era: str) -> None:
        self._bridge = bridge
        self._era = era
        if era == "legacy":
            assert "result" in self.ask(self.request(0, "initialize", HANDSHAKE))
            self.say(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def request(self, request_id: object, method: object, params: dict[str, Any]) -> bytes:
        more: dict[str, Any] = {} if self._era == "legacy" else {"_meta": META}
        message = {"jsonrpc": "2.0", "id": request_id, "method": method}
        return json.dumps({**message, "params": {**params, **more}}).encode()

    def say(self, line: bytes) -> None:
        assert self._bridge.stdin is not None
        self._bridge.stdin.write(line + b"\n")
        self._bridge.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self._bridge.stdout is not None
        return json.loads(self._bridge.stdout.readline())

    def ask(self, line: bytes) -> dict[str, Any]:
        self.say(line)
        return self.hear()

    def leave(self) -> tuple[int, bytes]:
        """Close both sides; return how the bridge ended, and what it complained of."""
        _, complaints = self._bridge.communicate(timeout=20)
        return self._bridge.returncode, complaints


@contextmanager
def raw_client(home: Path, era: str) -> Generator[RawClient]:
    with subprocess.Popen(
        [sys.executable, "-c", BRIDGE],
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as bridge:
        deadline = threading.Timer(60, bridge.kill)  # no wait is longer
        deadline.start()
        try:
            yield RawClient(bridge, era)
        finally:
            deadline.cancel()
            bridge.kill()


GARBAGE: Final = {
    "no JSON": (b"{{{", -32700, None),
    "no UTF-8": (b'{"\xff\xfe', -32700, None),
    "deeper than any message": (b"[" * 100_000, -32700, None),
    "a number longer than Python reads": (b'{"id":' + b"9" * 5000 + b"}", -32700, None),
    "a batch": (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, None),
    "a number": (b"5", -32600, None),
    "null for an id": (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
    "half an id": (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, None),
    "an id of parts": (b'{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}', -32600, None),
    "no version": (b'{"id":7,"method":"ping"}', -32600, 7),
    "no method": (b'{"jsonrpc":"2.0","id":7}', -32600, 7),
    "a number for a method": (b'{"jsonrpc":"2.0","id":7,"method":5}', -32600, 7),
    "a list of arguments": (
        b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","arguments":[]}}',
        -32602,
        7,
    ),
    "a text that is no object": (
        b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","arguments":"[1]"}}',
        -32602,
        7,
    ),
    "a text with a lone surrogate": (
        b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":'
        b'{"name":"check_job","arguments":"{\\"a\\":\\"\\\\ud800\\"}"}}',
        -32602,
        7,
    ),
    "a lone surrogate": (
        b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":'
        b'{"name":"check_job","arguments":{"a":"\\ud800"}}}',
        -32602,
        7,
    ),
    "a lone surrogate for an id": (b'{"jsonrpc":"2.0","id":"\\udc00","method":"a"}', -32602, None),
    "a list of params": (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":[1]}', -32600, 7),
}


@pytest.mark.parametrize("era", ERAS)
def test_arguments_that_come_as_one_json_text_are_taken(one_home: Path, era: str) -> None:
    with raw_client(one_home, era) as client:
        for number, text in enumerate(['{"count": 1}', "{}", "", "null"]):
            params = {"name": "check_job", "arguments": text}
            answer = client.ask(client.request(number, "tools/call", params))
            assert not answer["result"].get("isError"), (text, answer)


@pytest.mark.parametrize("era", ERAS)
def test_garbage_is_refused_in_a_sentence_and_the_next_message_is_answered(
    one_home: Path, era: str
) -> None:
    with raw_client(one_home, era) as client:
        for what, (line, code, request_id) in GARBAGE.items():
            refused = client.ask(line)
            assert (refused["error"]["code"], refused["id"]) == (code, request_id), what
            assert "\n" not in refused["error"]["message"], what
        assert client.ask(client.request(1, "tools/list", {}))["result"]["tools"]
        assert client.leave() == (0, b"")


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "name", ["grö\r\nX-Evil: 1", "\ud800", "=?base64?x?=", " ", "x" * 50_000, "\u2028"]
)
def test_a_strange_name_is_answered_under_its_id(one_home: Path, era: str, name: str) -> None:
    with raw_client(one_home, era) as client:
        asked = client.request(3, "tools/call", {"name": name, "arguments": {}})
        assert client.ask(asked)["id"] == 3
        assert client.ask(client.request(4, name, {}))["id"] == 4


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("request_id", [10**30, -1, "", "größe\u2028\n", "x" * 100_000])
def test_an_answer_carries_the_id_that_was_asked_with(
    one_home: Path, era: str, request_id: int | str
) -> None:
    with raw_client(one_home, era) as client:
        assert client.ask(client.request(request_id, "tools/list", {}))["id"] == request_id


@pytest.mark.parametrize("era", ERAS)
def test_requests_of_one_id_are_all_answered(one_home: Path, era: str) -> None:
    with raw_client(one_home, era) as client:
        for _ in range(3):
            client.say(client.request(7, "tools/list", {}))
        answers = [client.hear() for _ in range(3)]
    assert all(answer["id"] == 7 and "result" in answer for answer in answers)


@pytest.mark.parametrize("era", ERAS)
def test_hundreds_of_requests_at_once_are_all_answered(one_home: Path, era: str) -> None:
    count = 300
    with raw_client(one_home, era) as client:
        for number in range(count):
            asked: dict[str, Any] = {"name": "check_job", "arguments": {}}
            client.say(client.request(number, "tools/call", asked))
        answers = [client.hear() for _ in range(count)]
    assert sorted(answer["id"] for answer in answers) == list(range(count))
    assert all("result" in answer for answer in answers)


@pytest.mark.parametrize("era", ERAS)
def test_a_message_of_50_mb_is_refused_and_the_next_is_answered(one_home: Path, era: str) -> None:
    with raw_client(one_home, era) as client:
        huge = {"name": "check_job", "arguments": {"a": "x" * 50_000_000}}
        refused = client.ask(client.request(1, "tools/call", huge))
        assert refused["id"] == 1
        assert "47.7 MiB, and 4 MiB are the most" in refused["error"]["message"]
        assert client.ask(client.request(2, "tools/list", {}))["id"] == 2


@pytest.mark.parametrize("era", ERAS)
def test_a_client_may_leave_at_any_moment(one_home: Path, era: str) -> None:
    with raw_client(one_home, era) as client:
        for number in range(50):
            client.say(client.request(number, "tools/list", {}))
        code, complaints = client.leave()
    assert (code, complaints) == (0, b"")
    with raw_client(one_home, era) as another:
        assert another.ask(another.request(1, "tools/list", {}))["result"]["tools"]


def peak_memory_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.parametrize("length", ["Content-Length: 100000000", "Transfer-Encoding: chunked"])
def test_a_body_of_100_mb_is_refused_without_being_read_into_memory(
    one_home: Path, length: str
) -> None:
    with raw_client(one_home, "auto") as client:
        assert client.ask(client.request(1, "tools/list", {}))["result"]["tools"]
    there = daemon_record(one_home)
    before = peak_memory_mib(there["pid"])
    piece = b"x" * 2**20
    if "chunked" in length:
        piece = b"%x\r\n%b\r\n" % (len(piece), piece)
    with socket.create_connection(("127.0.0.1", there["port"]), timeout=20) as connection:
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{there['port']}\r\n"
            f"Authorization: Bearer {there['token']}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\n{length}\r\n\r\n"
        )
        connection.sendall(head.encode())
        try:
            for _ in range(100):
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        else:
            assert connection.recv(64).startswith(b"HTTP/1.1 413")
    assert peak_memory_mib(there["pid"]) - before < 30
