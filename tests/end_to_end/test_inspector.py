"""The official Inspector lists the tools and calls one without complaint."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

SERVER = "from kiln_mcp.doors.cli import main; main()"


def inspect(home: Path, era: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    launcher = home / "server.py"
    home.mkdir(exist_ok=True)
    launcher.write_text(f"{SERVER}\n", encoding="utf-8")
    root = str(Path(__file__).parents[2])
    command = [
        *shlex.split(os.environ["MCP_INSPECTOR"]), "--cli", "-q", sys.executable, str(launcher),
        "--protocol-era", era, "-e", f"KILN_MCP_HOME={home}", "-e", f"PYTHONPATH={root}",
        *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(home), "KILN_MCP_HOME": str(home), "PYTHONPATH": root}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=90, check=False, env=environment
    )


@pytest.mark.inspector
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_lists_the_tools_without_a_warning(tmp_path: Path, era: str) -> None:
    listed = inspect(tmp_path / "home", era, "--method", "tools/list", "--strict")
    assert listed.returncode == 0, listed.stderr
    assert "Warning" not in listed.stderr + listed.stdout
    assert '"name": "describe_project"' in listed.stdout


@pytest.mark.inspector
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_calls_a_tool(tmp_path: Path, era: str) -> None:
    called = inspect(
        tmp_path / "home", era, "--method", "tools/call", "--tool-name", "create_project",
        "--tool-arg", "name=p", "--tool-arg", f"folder={tmp_path / 'p'}",
    )  # fmt: skip
    assert called.returncode == 0, called.stderr
    assert (tmp_path / "p" / "project.kiln").exists()


@pytest.mark.inspector
def test_two_hundred_calls_of_the_inspector_at_once_are_all_answered(tmp_path: Path) -> None:
    load = ["--load", "--load-requests", "200", "--load-concurrency", "20"]
    loaded = inspect(
        tmp_path / "home", "modern", "--method", "tools/call", "--tool-name", "list_models", *load
    )
    assert loaded.returncode == 0, loaded.stderr
    summary = json.loads(loaded.stdout)
    assert (summary["ok"], summary["toolErrors"], summary["errors"]) == (200, 0, 0)


@pytest.mark.inspector
def test_the_inspector_verifies_the_skills(tmp_path: Path) -> None:
    verified = inspect(tmp_path / "home", "modern", "--method", "skills/list", "--verify")
    assert verified.returncode == 0, verified.stderr
    reports = [json.loads(line) for line in verified.stdout.splitlines()]
    states = {file["status"] for report in reports for file in report["files"]}
    assert states == {"verified"}
