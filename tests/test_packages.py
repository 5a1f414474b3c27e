"""The packages are ours: side by side, and not hidden by others of the same name."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

import agent
import kiln_mcp
import storage


def _folder(module: object) -> Path:
    file = getattr(module, "__file__", None)
    assert isinstance(file, str)
    return Path(file).resolve().parent.parent


def test_the_three_packages_lie_side_by_side() -> None:
    assert _folder(agent) == _folder(kiln_mcp) == _folder(storage)


def test_the_bridge_imports_nothing_but_the_standard_library() -> None:
    program = (
        "import sys; before = set(sys.modules); import kiln_mcp.doors.bridge.program; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names) - {'kiln_mcp'}))"
    )
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"


def test_the_doors_start_without_what_is_heavy() -> None:
    program = (
        "import sys, kiln_mcp.doors.cli, kiln_mcp.doors.server; "
        "heavy = {'litellm', 'torch', 'scipy', 'dbos', 'xllamacpp', 'git'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"


def roots_after(home: Path, *arguments: str) -> set[str]:
    """Run a command as a person does; return the packages and rooms that it has imported."""
    program = (
        "import atexit, sys; from kiln_mcp.doors.bridge import main; "
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "KILN_MCP_HOME": str(home), "KILN_MCP_DAEMON": "off"},
    )
    assert done.stdout
    names = done.stderr.split()
    return {".".join(name.split(".")[: 2 if name.startswith("kiln_mcp") else 1]) for name in names}


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_version_and_the_help_import_click_and_the_standard_library_alone(
    tmp_path: Path, option: str
) -> None:
    others = roots_after(tmp_path, option) - set(sys.stdlib_module_names)
    own = {name for name in others if name.startswith("kiln_mcp")}
    assert own == {"kiln_mcp", "kiln_mcp.doors", "kiln_mcp.garbage"}
    heavy = {"anyio", "dbos", "litellm", "mcp", "numpy", "pydantic", "scipy", "storage", "uvicorn"}
    assert "click" in others
    assert not others & heavy


def test_the_help_of_a_command_imports_no_room_that_works(tmp_path: Path) -> None:
    roots = roots_after(tmp_path, "check-job", "--help")
    own = {name for name in roots if name.startswith("kiln_mcp.")}
    assert own == {"kiln_mcp.doors", "kiln_mcp.garbage", "kiln_mcp.workbench"}
    assert not roots & {"dbos", "litellm", "mcp", "numpy", "pydantic", "scipy", "uvicorn"}


HEAVY: Final = frozenset(
    {"dbos", "git", "jinja2", "litellm", "mcp", "numpy", "pandas", "scipy", "sqlalchemy", "uvicorn"}
)


@pytest.mark.parametrize("command", ["describe-project", "find", "check-job"])
def test_a_command_that_only_reads_imports_nothing_heavy(tmp_path: Path, command: str) -> None:
    folder = tmp_path / "project"
    home = tmp_path / "home"
    roots_after(home, "create-project", "--name", "P", "--folder", str(folder))
    of_project = [] if command == "check-job" else ["--project", str(folder)]
    kind = ["--kind", "task"] if command == "find" else []
    assert not roots_after(home, command, *of_project, *kind) & HEAVY


def test_records_are_built_when_one_is_first_read() -> None:
    program = (
        "import storage; from storage.records.record import Part; "
        "print([kind.__name__ for kind in Part.__subclasses__() if kind.__pydantic_complete__])"
    )
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"


def test_every_extra_that_a_text_names_is_one_of_this_distribution() -> None:
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [
        *(root / "kiln_mcp").rglob("*.py"),
        *(root / "storage").rglob("*.py"),
        *(root / "docs").glob("*.md"),
        root / "README.md",
    ]
    extras = {
        extra
        for text in texts
        for extra in re.findall(r"kiln-mcp-server\[([\w-]+)\]", text.read_text(encoding="utf-8"))
    }
    assert {"embedded", "parquet", "postgres"} <= extras
    assert extras <= set(project["optional-dependencies"])
