"""Install, uninstall and doctor as a person runs them, with a home folder of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from person_home import stop_daemon

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
PROGRAM = "import sys; from kiln_mcp.doors.bridge import main; sys.exit(main())"


@pytest.fixture
def home(tmp_path: Path) -> Generator[Path]:
    yield tmp_path
    stop_daemon(tmp_path)


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HOME": str(home),
        "KILN_MCP_HOME": str(home / "kiln"),
        "XDG_CONFIG_HOME": "",
        "OPENAI_API_KEY": "sk-canary",
    }
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_client_is_registered_checked_and_removed(home: Path) -> None:
    shown = run(home, "install", "cursor", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert '+  "mcpServers"' in shown.stdout
    assert not (home / ".cursor").exists()
    done = run(home, "install", "cursor", "--env", "OPENAI_API_KEY")
    assert done.returncode == 0, done.stderr
    assert "tools after" in done.stdout
    text = (home / ".cursor" / "mcp.json").read_text(encoding="utf-8")
    assert (
        json.loads(text)["mcpServers"]["kiln"]["env"]["OPENAI_API_KEY"] == "${env:OPENAI_API_KEY}"
    )
    assert (
        "was registered already" in run(home, "install", "cursor", "--env", "OPENAI_API_KEY").stdout
    )
    seen = run(home, "doctor", "--json")
    parts = {part["part"]: part for part in json.loads(seen.stdout)}
    assert (seen.returncode, parts["clients"]["text"]) == (0, "registered in Cursor")
    assert not (home / ".local").exists()  # the daemon that doctor asks is that of KILN_MCP_HOME
    assert "sk-canary" not in text + seen.stdout + done.stdout
    removed = run(home, "uninstall", "cursor")
    assert removed.returncode == 0, removed.stderr
    assert (
        "kiln" not in json.loads((home / ".cursor" / "mcp.json").read_text("utf-8"))["mcpServers"]
    )
