"""The file of first answers holds what the daemon answers, and is used where that is so.

python tests/kiln_mcp/doors/bridge/test_first_answers.py     writes the file again
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import pytest
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from kiln_mcp.catalogue import with_extensions
from kiln_mcp.doors.border.tool_choice import TOOLSETS, ToolChoice
from kiln_mcp.doors.bridge import Daemon, Exchange
from kiln_mcp.doors.bridge.envelope import modern_headers
from kiln_mcp.doors.bridge.first_answers import FILE, FirstAnswers, load_first_answers
from kiln_mcp.doors.daemon import serve
from kiln_mcp.llm import EngineSettings
from kiln_mcp.settings import Settings

REGENERATE: Final = f"python {Path(__file__).relative_to(Path(__file__).parents[4])}"
CLIENT: Final = {"name": "client", "version": "1"}
ENVELOPE: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
ALL_TOOLS: Final = ToolChoice(("team", "admin"))
Message = dict[str, Any]


def request(method: str, **params: object) -> Message:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def handshake(version: str = HANDSHAKE_PROTOCOL_VERSIONS[-1]) -> Message:
    return request("initialize", protocolVersion=version, capabilities={}, clientInfo=CLIENT)


class RawClient:
    """Asks a daemon over HTTP and keeps the JSON of its answers."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.session: dict[str, str] = {}

    def ask(self, message: Message) -> Message:
        is_first = message["method"] == "initialize"
        headers = modern_headers(message) or ({} if is_first else self.session)
        headers = {**headers, **ALL_TOOLS.as_headers()}
        body = json.dumps(message).encode()
        with Exchange(self._daemon.address, "POST", "/mcp", headers, body) as exchange:
            exchange.send()
            answer: Message = json.loads(list(exchange.messages())[-1])
            session = exchange.headers.get("mcp-session-id")
        result: Message = answer["result"]
        if session is not None and is_first:
            version = str(result["protocolVersion"])
            self.session = {"mcp-session-id": session, "mcp-protocol-version": version}
        return result


def ask_daemon(home: Path) -> Message:
    """Ask the daemon of a home what the file has to hold."""
    there = Daemon(home)
    there.find()
    client = RawClient(there)
    handshakes = [client.ask(handshake(version)) for version in HANDSHAKE_PROTOCOL_VERSIONS]
    legacy_tools = client.ask(request("tools/list"))
    modern = client.ask(request("tools/list", _meta=ENVELOPE))
    discover = client.ask(request("server/discover", _meta=ENVELOPE))
    with Exchange(there.address, "POST", "/stop", {}, b"") as exchange:
        exchange.send()
    versions = [result.pop("protocolVersion") for result in handshakes]
    assert all(result == handshakes[0] for result in handshakes)
    assert legacy_tools == {"tools": modern["tools"]}
    return {
        "initialize": handshakes[0],
        "versions": versions,
        "discover": discover,
        "modern_list": {name: value for name, value in modern.items() if name != "tools"},
        "tools": modern["tools"],
    }


async def serve_and_ask(home: Path) -> Message:
    engine = EngineSettings(
        response_cache=home / "responses.sqlite", orders=home / "orders.sqlite", environment={}
    )
    answers: Message = {}
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(serve, Settings(home=home, engine=engine), with_extensions(()))
            while not (home / "daemon.json").exists():  # noqa: ASYNC110 - it is another program's
                await anyio.sleep(0.01)
            answers = await anyio.to_thread.run_sync(ask_daemon, home)
    return answers


def text_of(answers: Mapping[str, object]) -> str:
    return json.dumps(answers, indent=1, ensure_ascii=False) + "\n"


async def test_the_file_holds_what_the_daemon_answers(tmp_path: Path) -> None:
    hint = f"The first answers are stale. Write them again: {REGENERATE}"
    assert json.loads(FILE.read_bytes()) == await serve_and_ask(tmp_path), hint


@pytest.fixture
def answers() -> FirstAnswers:
    loaded = load_first_answers([])
    assert loaded is not None
    return loaded


@pytest.mark.parametrize("asked", ["2024-11-05", "1999-01-01"])
def test_the_handshake_agrees_to_a_version_that_the_server_has(
    answers: FirstAnswers, asked: str
) -> None:
    result = answers.result_for(handshake(asked), has_session=False)
    assert result is not None
    agreed = result["protocolVersion"]
    assert agreed == (asked if asked in HANDSHAKE_PROTOCOL_VERSIONS else answers.versions[-1])


@pytest.mark.parametrize(
    "message",
    [
        request("tools/list"),  # of the legacy era, before its handshake
        request("tools/list", _meta={**ENVELOPE, next(iter(ENVELOPE)): "2030-01-01"}),
        request("tools/list", _meta={next(iter(ENVELOPE)): "2026-07-28"}),
        request("tools/list", _meta=ENVELOPE, cursor="next"),
        request("initialize", protocolVersion=7, capabilities={}, clientInfo=CLIENT),
        request("initialize", protocolVersion="2025-11-25", clientInfo=CLIENT),
        request("resources/list", _meta=ENVELOPE),
    ],
)
def test_what_the_server_may_refuse_or_answer_otherwise_is_not_answered_from_the_file(
    answers: FirstAnswers, message: Message
) -> None:
    assert answers.result_for(message, has_session=False) is None


@pytest.mark.parametrize("group", ["kiln_mcp.capabilities", "kiln_mcp.evaluators"])
def test_the_file_is_not_used_beside_an_extension(tmp_path: Path, group: str) -> None:
    folder = tmp_path / "other-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text(f"[{group}]\ngreet = other:greet\n", encoding="utf-8")
    assert load_first_answers([str(tmp_path)]) is None


def test_the_file_answers_with_the_sets_that_a_client_asks_for() -> None:
    names: dict[str, set[str]] = {}
    for toolset in TOOLSETS:
        loaded = load_first_answers([], ToolChoice((toolset,)))
        assert loaded is not None
        result = loaded.result_for(request("tools/list", _meta=ENVELOPE), has_session=False)
        assert result is not None
        names[toolset] = {tool["name"] for tool in result["tools"]}
    assert len(names["default"]) <= 24
    assert names["team"] - names["default"] >= {"sync_project", "restore"}
    assert names["admin"] - names["default"] == {
        "test_model", "resume_job", "change_task", "train_model", "verify_certificate",
        "show_prompt_search", "explain_prompt", "improve_prompt_for_models",
        "sweep_trainings", "distil_model",
    }  # fmt: skip
    asked = load_first_answers([], ToolChoice(output_schemas=True))
    assert asked is not None  # the daemon answers, because the file has no schemas of answers
    message = request("tools/list", _meta=ENVELOPE)
    assert asked.result_for(message, has_session=False) is None


def test_the_file_of_another_version_is_not_used(tmp_path: Path) -> None:
    content = json.loads(FILE.read_bytes())
    content["initialize"]["serverInfo"]["version"] = "0.0.0"
    other = tmp_path / "answers.json"
    other.write_text(json.dumps(content), encoding="utf-8")
    assert load_first_answers([], file=other) is None


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        FILE.write_text(text_of(anyio.run(serve_and_ask, Path(folder))), encoding="utf-8")
    sys.stdout.write(f"{FILE} is written.\n")
