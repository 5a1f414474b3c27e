"""The daemon of a home is discovered, replaced and started, with real processes."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from filelock import FileLock

from bridge_client import BRIDGE
from kiln_mcp import __version__
from kiln_mcp.doors.bridge import Daemon, Exchange
from kiln_mcp.doors.bridge import discovery as finding
from kiln_mcp.doors.bridge.discovery import is_outdated
from kiln_mcp.doors.cli import failures

ROOT = Path(__file__).parents[4]
CONVERSATION = b"""\
{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",\
"capabilities":{},"clientInfo":{"name":"test","version":"1"}}}
{"jsonrpc":"2.0","method":"notifications/initialized"}
{"jsonrpc":"2.0","id":2,"method":"tools/list"}
{"jsonrpc":"2.0","id":3,"method":"resources/templates/list"}
"""


@contextmanager
def another_version(home: Path, version: str) -> Generator[list[str]]:
    """Stand in for a daemon of another version, which ends when it is asked to."""
    asked: list[str] = []

    class Old(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            asked.append(f"{self.path} {self.headers['Authorization']}")
            (home / "daemon.json").unlink()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Old) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        known = {"port": server.server_port, "token": "old", "version": version}
        (home / "daemon.json").write_text(json.dumps(known), encoding="utf-8")
        yield asked
        server.shutdown()


def stop(home: Path) -> None:
    running = Daemon(home)
    running.find()
    with Exchange(running.address, "POST", "/stop", {}, b"") as exchange:
        exchange.send()


def converse(home: Path, **more: str) -> tuple[list[str], str]:
    """Return what a bridge says to a client that lists, and what it complains of.

    The last request needs a server; the others are answered from a file if no daemon runs.
    """
    environment = {**os.environ, "KILN_MCP_HOME": str(home), "PYTHONPATH": str(ROOT), **more}
    with subprocess.Popen(
        [sys.executable, "-c", BRIDGE],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as bridge:
        assert bridge.stdin is not None
        assert bridge.stdout is not None
        deadline = threading.Timer(60, bridge.kill)
        deadline.start()
        bridge.stdin.write(CONVERSATION)
        bridge.stdin.flush()
        replies = [bridge.stdout.readline().decode() for _ in range(3)]
        _, complaints = bridge.communicate(timeout=30)
        deadline.cancel()
    return replies, complaints.decode()


@pytest.mark.slow
def test_a_client_that_starts_replaces_an_older_daemon(tmp_path: Path) -> None:
    with another_version(tmp_path, "0.0.0") as asked:
        replies, complaints = converse(tmp_path)
    assert asked == ["/stop Bearer old"]
    known = json.loads((tmp_path / "daemon.json").read_text(encoding="utf-8"))
    assert known["version"] == __version__
    assert [json.loads(reply)["id"] for reply in replies] == [1, 2, 3]
    assert complaints == ""
    stop(tmp_path)


def test_a_client_that_starts_takes_a_daemon_that_is_newer(tmp_path: Path) -> None:
    with another_version(tmp_path, "99.0.0") as asked:
        Daemon(tmp_path).find(replacing=True)
    assert asked == []


@pytest.mark.parametrize(
    ("running", "own", "outdated"),
    [
        ("0.1.0", "0.1.0", False),
        ("0.9.0", "0.10.0", True),
        ("0.10.0", "0.9.0", False),
        ("1.0.0.dev1", "1.0.0", True),
        ("1.0.0", "1.0.0.dev1", True),
        ("None", "0.1.0", True),
    ],
)
def test_a_daemon_of_an_older_release_or_another_build_is_outdated(
    running: str, own: str, outdated: bool
) -> None:
    assert is_outdated(running, own) is outdated


def test_the_bridge_imports_the_standard_library_alone() -> None:
    program = (
        "import sys; before = set(sys.modules); import kiln_mcp.doors.bridge.program\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('kiln_mcp')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        timeout=30,
    )
    imported, own = (line.split() for line in done.stdout.decode().splitlines())
    assert set(imported) - sys.stdlib_module_names == {"kiln_mcp"}
    assert {".".join(name.split(".")[:3]) for name in own} == {
        "kiln_mcp",
        "kiln_mcp.doors",
        "kiln_mcp.doors.bridge",
        "kiln_mcp.doors.border",
        "kiln_mcp.home",
        "kiln_mcp.doors.lines",
    }


def test_a_client_at_work_takes_the_daemon_that_is_there(tmp_path: Path) -> None:
    with another_version(tmp_path, "99.0.0") as asked:
        Daemon(tmp_path).find()
    assert asked == []


@pytest.mark.slow
def test_where_no_daemon_starts_the_client_is_served_all_the_same_and_told_why(
    tmp_path: Path,
) -> None:
    with FileLock(tmp_path / "daemon.lock"):  # as if one hung that nobody can reach
        replies, complaints = converse(tmp_path)
    assert [json.loads(reply)["id"] for reply in replies] == [1, 2, 3]
    assert complaints.startswith("kiln-mcp: The daemon did not start within 10 s: ")
    assert "Another daemon serves" in complaints
    assert f"{tmp_path / 'daemon.log'}. Serving from this process instead" in complaints
    assert "Traceback" not in complaints


@pytest.mark.slow
def test_a_client_waits_for_a_daemon_that_is_about_to_listen(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from kiln_mcp.doors.bridge import Daemon\n"
        "Daemon(Path(sys.argv[1])).find()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with (
        FileLock(tmp_path / "daemon.lock"),
        subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}) as looking,
    ):
        log = tmp_path / "daemon.log"
        for _ in range(600):
            with suppress(subprocess.TimeoutExpired):
                looking.wait(0.05)
            if log.exists() and "Another daemon serves" in log.read_text(encoding="utf-8"):
                break
        with another_version(tmp_path, __version__) as asked:
            assert looking.wait(20) == 0
    assert asked == []
    known = json.loads((tmp_path / "daemon.json").read_text(encoding="utf-8"))
    assert known["token"] == "old"


def test_bridge_and_command_line_mean_the_same_by_a_home_that_is_served() -> None:
    assert finding.SERVED_ALREADY == failures.SERVED_ALREADY


@pytest.mark.slow
def test_without_a_database_of_jobs_the_daemon_serves_all_the_rest(tmp_path: Path) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    replies, complaints = converse(tmp_path, KILN_MCP_DATABASE_URL=nowhere)
    assert [json.loads(reply)["id"] for reply in replies] == [1, 2, 3]
    assert complaints == ""
    stop(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoilt", ["responses.sqlite", "jobs.sqlite", "orders.sqlite", "projects.json", "daemon.json"]
)
def test_garbage_in_the_home_keeps_nobody_from_what_works_without_it(
    tmp_path: Path, spoilt: str
) -> None:
    (tmp_path / spoilt).write_bytes(b"no such thing at all " * 1000)
    replies, complaints = converse(tmp_path)
    answers = [json.loads(reply) for reply in replies]
    assert [answer["id"] for answer in answers] == [1, 2, 3]
    assert all("result" in answer for answer in answers)
    assert "Traceback" not in complaints
    stop(tmp_path)


@pytest.mark.slow
def test_where_nothing_can_be_served_a_request_is_answered_with_the_reason(
    tmp_path: Path,
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "psycopg.py").write_text("raise ImportError('no driver')", encoding="utf-8")
    replies, complaints = converse(
        tmp_path / "home",
        KILN_MCP_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing",
        PYTHONPATH=os.pathsep.join((str(hidden), str(ROOT))),
    )
    answers = [json.loads(reply) for reply in replies]
    assert [answer["id"] for answer in answers] == [1, 2, 3]
    for said in (answers[-1]["error"]["message"], complaints):
        assert "psycopg is not installed" in said
        assert "Traceback" not in said


@pytest.mark.slow
def test_a_home_that_is_a_file_keeps_nobody_from_what_works_without_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("a file", encoding="utf-8")
    replies, complaints = converse(home)
    assert all("result" in json.loads(reply) for reply in replies)
    assert "Traceback" not in complaints


@pytest.mark.slow
def test_a_file_that_keeps_the_daemon_from_starting_is_named(tmp_path: Path) -> None:
    (tmp_path / "start.lock").mkdir()
    replies, complaints = converse(tmp_path)
    assert all("result" in json.loads(reply) for reply in replies)
    assert f"{tmp_path / 'start.lock'} cannot be used: is a directory. Serving from" in complaints
