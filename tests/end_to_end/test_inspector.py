"""The official Inspector lists the tools and calls one without complaint."""

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
