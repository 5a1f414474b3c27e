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

from bridge_client import BRIDGE, agree
from kiln_mcp import __version__
from kiln_mcp.doors.bridge import Daemon, Exchange, home_folder
from kiln_mcp.llm import Message, ModelRequest, WorkOrders
from kiln_mcp.llm.providers.descriptions import WELL_KNOWN
from kiln_mcp.llm.providers.host import HostModel
from kiln_mcp.settings import Settings

ROOT = Path(__file__).parents[3]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "KILN_MCP_HOME": str(home), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    if (tmp_path / "daemon.json").exists():
        running = Daemon(tmp_path)
        running.find()
        assert request(running, "POST", "/stop") == 200
        until = time.monotonic() + 15
        while (tmp_path / "daemon.json").exists() and time.monotonic() < until:
            time.sleep(0.02)


def request(there: Daemon, method: str, path: str, headers: dict[str, str] | None = None) -> int:
    with Exchange(there.address, method, path, headers or {}, b"") as exchange:
        exchange.send()
        return exchange.status


def stdio(home: Path, **more: str) -> StdioServerParameters:
    kept = {name: v for name, v in environment(home).items() if name not in WELL_KNOWN}
    return StdioServerParameters(command=sys.executable, args=["-c", BRIDGE], env={**kept, **more})


def start_daemon(home: Path) -> None:
    """Start the daemon as a process that has ended would."""
    start = "import sys, pathlib; from kiln_mcp.doors.bridge import Daemon; "
    program = f"{start}Daemon(pathlib.Path(sys.argv[1])).find()"
    subprocess.run(
        [sys.executable, "-c", program, home], env=environment(home), check=True, timeout=60
    )


async def pid_of_daemon(client: Client, home: Path) -> int:
    """Return the process of the daemon; a list of tools would not wait for it, a call does."""
    await client.call_tool("check_job", {})
    return int(json.loads((home / "daemon.json").read_text(encoding="utf-8"))["pid"])


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
    assert {"check_job", "list_models"} <= tools
    assert not answer.is_error
    known = json.loads((home / "daemon.json").read_text(encoding="utf-8"))
    assert known["version"] == __version__
    assert stat.S_IMODE((home / "daemon.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((await anyio.Path(home).stat()).st_mode) == 0o700


def holding(folder: Path, text: bytes) -> list[Path]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [file for file in files if text in file.read_bytes()]


@pytest.mark.slow
async def test_a_client_lends_its_keys_to_a_daemon_that_another_client_started(
    home: Path,
) -> None:
    with anyio.fail_after(60):
        async with Client(stdio(home), mode="legacy") as client:
            before = await client.call_tool("list_models", {})
        async with Client(stdio(home, OPENAI_API_KEY="sk-lent"), mode="legacy") as client:
            after = await client.call_tool("list_models", {})
    assert "openai/gpt-4.1" not in str(before.structured_content)
    assert "openai/gpt-4.1" in str(after.structured_content)
    assert not holding(home, b"sk-lent")


@pytest.mark.slow
async def test_what_a_client_has_of_other_names_than_api_keys_is_lent_too(home: Path) -> None:
    server = {"name": "hub", "base_url": "http://127.0.0.1:9/v1", "key_variable": "HUB_LOGIN"}
    said: list[str] = []
    with anyio.fail_after(60):
        async with Client(stdio(home), mode="legacy") as client:
            await client.list_tools()
        (home / "servers.json").write_text(json.dumps([server]), encoding="utf-8")
        for lent in ({}, {"HUB_LOGIN": "very-secret"}):
            async with Client(
                stdio(home, **lent), mode="legacy", elicitation_callback=agree
            ) as client:
                answer = await client.call_tool("test_model", {"model": "hub/x"})
                said.append(str(answer.content))
    assert "Set HUB_LOGIN in the environment that your client" in said[0]
    assert "nothing listens at" in said[1]
    assert not holding(home, b"very-secret")


@pytest.mark.slow
def test_keys_that_no_environment_can_hold_are_refused(home: Path) -> None:
    there = Daemon(home)
    start_daemon(home)
    there.find()
    for keys in (b'{"X_BASE_URL": "a\\u0000b"}', b'{"=_API_KEY": "a"}', b"[1]", b"{"):
        with Exchange(there.address, "POST", "/keys", {}, keys) as exchange:
            exchange.send()
            assert exchange.status == 400, keys
    assert "Traceback" not in (home / "daemon.log").read_text(encoding="utf-8")


@pytest.mark.slow
async def test_without_a_daemon_the_bridge_serves_by_itself(home: Path) -> None:
    with anyio.fail_after(60):
        async with Client(stdio(home, KILN_MCP_DAEMON="off"), mode="legacy") as client:
            assert (await client.list_tools()).tools
    assert not (home / "daemon.json").exists()


@pytest.mark.slow
async def test_two_clients_at_once_start_one_daemon(home: Path) -> None:
    pids: list[int] = []

    async def connect() -> None:
        async with Client(stdio(home), mode="legacy") as client:
            await client.list_tools()
            pids.append(await pid_of_daemon(client, home))

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
            os.kill(await pid_of_daemon(client, home), 9)
            assert (await client.list_tools()).tools


@pytest.mark.slow
def test_only_who_knows_the_token_and_is_no_web_page_is_let_in(home: Path) -> None:
    there = Daemon(home)
    there.home.mkdir(exist_ok=True)
    start_daemon(home)
    there.find()
    assert request(there, "GET", "/health") == 200
    assert request(there, "GET", "/health", {"Origin": "http://evil.example"}) == 403
    with socket.create_connection(("127.0.0.1", there.address.port), timeout=5) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: evil.example:80\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 421")
    there.address = there.address._replace(token="guessed")
    assert request(there, "GET", "/health") == 401
    there.find()


@pytest.mark.slow
def test_an_http_client_is_configured_once_for_all_starts(home: Path) -> None:
    there, addresses, pids = Daemon(home), list[tuple[int, str]](), set[int]()
    for _ in range(2):
        start_daemon(home)
        there.find()
        addresses.append((there.address.port, there.address.token))
        pids.add(json.loads((home / "daemon.json").read_text(encoding="utf-8"))["pid"])
        assert request(there, "POST", "/stop") == 200
        until = time.monotonic() + 15
        while (home / "daemon.json").exists() and time.monotonic() < until:
            time.sleep(0.02)
    assert len(pids) == 2
    assert addresses[0] == addresses[1]


@pytest.mark.slow
def test_an_idle_daemon_ends_by_itself(home: Path) -> None:
    program = "import sys; from kiln_mcp.doors.cli import main; sys.exit(main())"
    token = home / "token"
    command = [sys.executable, "-c", program, "serve", "--idle-minutes", "0.01"]
    command += ["--token-file", str(token)]
    done = subprocess.run(command, env=environment(home), timeout=60, check=False)
    assert done.returncode == 0
    assert not (home / "daemon.json").exists()
    assert len(token.read_text(encoding="utf-8").strip()) >= 32


@pytest.mark.slow
@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_the_work_orders_of_a_client_that_has_gone_are_there_for_the_next(
    home: Path, era: str
) -> None:
    settings = Settings.from_environment({"KILN_MCP_HOME": str(home)})
    orders = WorkOrders(settings.engine.orders)
    asked = ModelRequest("host", (Message("user", "How old?"),))
    taken: list[str] = []
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(HostModel(orders).complete, asked)
            for _ in range(2):
                async with Client(stdio(home), mode=era) as client:
                    answer = await client.call_tool("answer_work_orders", {})
                    taken.append(str(answer.structured_content))
            group.cancel_scope.cancel()
    await orders.close()
    assert ["How old?" in text for text in taken] == [True, True]


@pytest.mark.slow
async def test_a_command_that_waits_for_the_host_leaves_its_questions_to_assistants(
    home: Path,
) -> None:
    start_daemon(home)
    project = ["--name", "P", "--folder", str(home / "p"), "--instruction", "Answer."]
    wish = ["--project", "P", "--wish", "Answers are polite.", "--model", "host", "--wait-s", "2"]
    for arguments in (["create-project", *project], ["build-spec", *wish, "--yes"]):
        await anyio.run_process(
            [sys.executable, "-c", BRIDGE, *arguments],
            env=environment(home),
            stdin=subprocess.DEVNULL,
        )
    with anyio.fail_after(60):
        async with Client(stdio(home)) as client:
            answer = await client.call_tool("answer_work_orders", {})
    assert answer.structured_content is not None
    assert answer.structured_content["orders"]
