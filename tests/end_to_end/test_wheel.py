"""The distribution as users get it: built, installed into a bare venv, and used from there.

`WHEEL_VENV` is a venv that holds the wheel and what it needs, and nothing else. `WHEEL_FILES` is
the folder where `python -m build` has put the wheel and the sdist.
"""

import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest
from mcp import Client, StdioServerParameters

import kiln_mcp
from person_home import environment_of, stop_daemon

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(180)]
ROOT: Final = Path(__file__).parents[2]
CREATE_PROJECT: Final = "create_project"
NOT_FOR_USERS: Final = (
    "basedpyright", "hypothesis", "playwright", "pyarrow", "pytest", "ruff", "torch", "xllamacpp",
)  # fmt: skip


def built(pattern: str) -> Path:
    [file] = Path(os.environ["WHEEL_FILES"]).glob(pattern)
    return file


def tracked(*folders: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(listed.stdout.split())


def run(home: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(os.environ["WHEEL_VENV"]) / "bin" / program), *arguments]
    return subprocess.run(
        command, env=environment_of(home), cwd=home, capture_output=True, text=True, check=False
    )


@pytest.fixture
def home(tmp_path: Path) -> Generator[Path]:
    yield tmp_path
    stop_daemon(tmp_path)


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else() -> None:
    with zipfile.ZipFile(built("*.whl")) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == tracked("kiln_mcp", "agent", "storage")
    assert {Path(name).suffix for name in names} >= {".py", ".md", ".json", ".txt", ".xz"}


def test_the_sdist_holds_what_the_wheel_is_built_from_and_the_tests() -> None:
    with tarfile.open(built("*.tar.gz")) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    needed = tracked("kiln_mcp", "agent", "storage", "tests", "docs", "benchmarks")
    assert {*needed, "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= names


def test_nothing_that_only_tests_or_extras_need_is_installed_for_users(home: Path) -> None:
    program = (
        "import importlib.util, sys; "
        "print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name)])"
    )
    seen = run(home, "python", "-c", program, *NOT_FOR_USERS, "kiln_mcp")
    assert (seen.stdout.split(), seen.stderr) == (["kiln_mcp"], "")


def test_the_commands_work_without_any_extra(home: Path) -> None:
    version = run(home, "kiln-mcp", "--version")
    assert kiln_mcp.__version__ in version.stdout
    seen = run(home, "kiln-mcp", "doctor", "--json")
    assert seen.returncode == 0, seen.stdout + seen.stderr
    health = {finding["part"]: finding["health"] for finding in json.loads(seen.stdout)}
    assert (health["server"], health["embedded model"]) == ("ok", "not there")
    demo = run(home, "kiln-mcp", "demo", "--folder", str(home / "demo"))
    assert demo.returncode == 1
    assert "pip install 'kiln-mcp-server[embedded]'" in demo.stderr
    assert run(home, "kiln-mcp", "skills", str(home / "skills")).returncode == 0
    assert len(list((home / "skills").glob("*/SKILL.md"))) >= 5
    assert run(home, "kiln-chat", "--help").returncode == 0


async def test_a_client_lists_the_tools_and_creates_a_project(home: Path) -> None:
    server = StdioServerParameters(
        command=str(Path(os.environ["WHEEL_VENV"]) / "bin" / "kiln-mcp"), env=environment_of(home)
    )
    async with Client(server) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        answer = await client.call_tool(
            CREATE_PROJECT, {"name": "Support", "folder": str(home / "support")}
        )
    assert CREATE_PROJECT in names
    assert not answer.is_error
    assert (home / "support" / "project.kiln").exists()
