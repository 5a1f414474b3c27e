"""The daemon and the bridge, as real processes in a home of their own."""

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters

from kiln_mcp import __version__
from kiln_mcp.bridge import Daemon, Exchange, home_folder
from kiln_mcp.settings import Settings

BRIDGE = "import sys; from kiln_mcp.bridge import main; sys.exit(main())"
ROOT = Path(__file__).parents[2]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "KILN_MCP_HOME": str(home), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    if (tmp_path / "daemon.json").exists():
        daemon = Daemon(tmp_path)
        daemon.find()
        assert request(daemon, "POST", "/stop") == 200
        until = time.monotonic() + 15
        while (tmp_path / "daemon.json").exists() and time.monotonic() < until:
            time.sleep(0.02)


def request(daemon: Daemon, method: str, path: str, headers: dict[str, str] | None = None) -> int:
    with Exchange(daemon, method, path, headers or {}, b"") as exchange:
        exchange.send()
        return exchange.status


def stdio(home: Path) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=["-c", BRIDGE], env=environment(home))


def test_the_version_is_the_distributions() -> None:
    assert __version__ == version("kiln-mcp-server")


def test_the_bridge_knows_the_same_home_as_everybody_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KILN_MCP_HOME", raising=False)
    assert home_folder(os.environ, sys.platform) == Settings.from_environment(os.environ).home
    chosen = {"KILN_MCP_HOME": str(tmp_path)}
    assert home_folder(chosen, sys.platform) == Settings.from_environment(chosen).home


@pytest.mark.slow
@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_a_client_reaches_the_daemon_through_the_bridge(home: Path, era: str) -> None:
    with anyio.fail_after(60):
        async with Client(stdio(home), mode=era) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            answer = await client.call_tool("list_models", {})
    assert {"start_job", "list_models"} <= tools
    assert not answer.is_error
    known = json.loads((home / "daemon.json").read_text(encoding="utf-8"))
    assert known["version"] == __version__
    assert stat.S_IMODE((home / "daemon.json").stat().st_mode) == 0o600


@pytest.mark.slow
async def test_two_clients_at_once_start_one_daemon(home: Path) -> None:
    pids: list[int] = []

    async def connect() -> None:
        async with Client(stdio(home), mode="legacy") as client:
            await client.list_tools()
            pids.append(json.loads((home / "daemon.json").read_text(encoding="utf-8"))["pid"])

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(connect)
            group.start_soon(connect)
    assert len(set(pids)) == 1


@pytest.mark.slow
async def test_a_client_goes_on_after_the_daemon_was_killed(home: Path) -> None:
    with anyio.fail_after(90):
        async with Client(stdio(home), mode="legacy") as client:
            await client.list_tools()
            pid = json.loads((home / "daemon.json").read_text(encoding="utf-8"))["pid"]
            os.kill(pid, 9)
            assert (await client.list_tools()).tools


@pytest.mark.slow
def test_only_who_knows_the_token_and_is_no_web_page_is_let_in(home: Path) -> None:
    daemon = Daemon(home)
    daemon.home.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", BRIDGE], env=environment(home), stdin=subprocess.PIPE
    ) as bridge:
        bridge.communicate(timeout=60)
    daemon.find()
    assert request(daemon, "GET", "/health") == 200
    assert request(daemon, "GET", "/health", {"Origin": "http://evil.example"}) == 403
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=5) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: evil.example:80\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 421")
    daemon.token = "guessed"
    assert request(daemon, "GET", "/health") == 401
    daemon.find()


@pytest.mark.slow
def test_an_idle_daemon_ends_by_itself(home: Path) -> None:
    program = "import sys; from kiln_mcp.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", "--idle-minutes", "0.01"]
    done = subprocess.run(command, env=environment(home), timeout=60, check=False)
    assert done.returncode == 0
    assert not (home / "daemon.json").exists()
