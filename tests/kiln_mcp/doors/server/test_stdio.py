"""A client of a server without a daemon: the process that it started serves it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

pytestmark = pytest.mark.slow

PROGRAM: Final = "import sys; from kiln_mcp.doors.bridge import main; sys.exit(main())"
ROOT: Final = Path(__file__).parents[4]
META: Final[dict[str, object]] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
INITIALIZE: Final = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}
GARBAGE: Final = {
    b"{{{": (-32700, None),
    b"5": (-32600, None),
    b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]': (-32600, None),
    b'{"jsonrpc":"2.0","id":7}': (-32600, 7),
    b'{"id":7,"method":"ping"}': (-32600, 7),
    b'{"jsonrpc":"2.0","id":7,"method":5}': (-32600, 7),
    b'{"jsonrpc":"2.0","id":7,"method":"ping","params":[1]}': (-32600, 7),
    b'{"jsonrpc":"2.0","id":7,"method":"a","params":{"name":"\\ud800"}}': (-32602, 7),
    b'{"jsonrpc":"2.0","id":"\\ud800","method":"a"}': (-32602, None),
}


def request(era: str, request_id: int, method: str, params: dict[str, Any]) -> bytes:
    more: dict[str, Any] = {} if era == "legacy" else {"_meta": META}
    message = {"jsonrpc": "2.0", "id": request_id, "method": method}
    return json.dumps({**message, "params": {**params, **more}}).encode()


def answers(home: Path, era: str, *lines: bytes) -> list[dict[str, Any]]:
    """Say all at once, close the client's side, and return what is heard."""
    shaking = request(era, 0, "initialize", INITIALIZE)
    if era == "legacy":
        lines = (shaking, b'{"jsonrpc":"2.0","method":"notifications/initialized"}', *lines)
    more = {"KILN_MCP_HOME": str(home), "KILN_MCP_DAEMON": "off", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **more},
        input=b"\n".join(lines) + b"\n",
        capture_output=True,
        timeout=60,
        check=True,
    )
    heard = [json.loads(line) for line in done.stdout.splitlines()]
    return [answer for answer in heard if answer.get("id") != 0]


@pytest.mark.parametrize("era", ["legacy", "auto"])
def test_what_was_asked_before_the_client_said_goodbye_is_answered(
    tmp_path: Path, era: str
) -> None:
    calls = ["list_models", "check_job", "list_models"]
    asked = [
        request(era, number, "tools/call", {"name": name, "arguments": {}})
        for number, name in enumerate(calls, start=1)
    ]
    heard = answers(tmp_path, era, *asked)
    assert {answer["id"]: "result" in answer for answer in heard} == {1: True, 2: True, 3: True}


def test_a_client_that_reads_no_more_ends_the_process_without_a_traceback(tmp_path: Path) -> None:
    more = {"KILN_MCP_HOME": str(tmp_path), "KILN_MCP_DAEMON": "off", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **more},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(request("legacy", 0, "initialize", INITIALIZE) + b"\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        for number in range(1, 9):
            call = request("legacy", number, "tools/call", {"name": "check_job", "arguments": {}})
            process.stdin.write(call + b"\n")
        process.stdin.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(60) == 0


@pytest.mark.parametrize("era", ["legacy", "auto"])
def test_garbage_is_refused_in_a_sentence(tmp_path: Path, era: str) -> None:
    ping = request(era, 1, "tools/list", {})
    _, *heard = sorted(answers(tmp_path, era, ping, *GARBAGE), key=lambda one: one.get("id") != 1)
    told = [(answer["error"]["code"], answer["id"]) for answer in heard]
    assert told == list(GARBAGE.values())


@pytest.mark.parametrize("era", ["legacy", "auto"])
def test_arguments_that_come_as_one_json_text_are_taken(tmp_path: Path, era: str) -> None:
    call = {"name": "check_job", "arguments": '{"count": 1}'}
    [answer] = answers(tmp_path, era, request(era, 1, "tools/call", call))
    assert not answer["result"].get("isError")
