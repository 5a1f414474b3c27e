"""Look at all that a session needs: the home, the daemon, models, keys, and programs beside."""

import importlib.util
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import anyio.to_thread

from kiln_mcp import __version__
from kiln_mcp.doors.border.provider_variables import GROUPS
from kiln_mcp.doors.clients.client_files import client_files
from kiln_mcp.doors.clients.handshake import shake_hands
from kiln_mcp.doors.clients.registration import (
    is_registered,
    lasting_settings,
    own_launch,
)
from kiln_mcp.llm import EMBEDDED, HOST, Engine, check_embedded_model
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.settings import Settings
from storage.atomic_write import check_room
from storage.errors import WorkbenchError
from storage.isolation.protection import protection

_ROOM_BYTES: Final = 200 * 2**20
_PROGRAM_S: Final = 10.0
_CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")


class Health(StrEnum):
    """How a part is."""

    GOOD = "ok"
    OPTIONAL = "not there"
    """Something works less; all else works."""
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One part, as it was found.

    Attributes:
        part: The part's name.
        health: How it is.
        text: What was seen.
        remedy: What to do; empty if nothing.
    """

    part: str
    health: Health
    text: str
    remedy: str = ""


async def examine(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """Return what was seen of each part; nothing is changed but the daemon's start."""
    findings = [
        Finding(
            "program", Health.GOOD, f"kiln-mcp {__version__} on Python {platform.python_version()}"
        ),
        await anyio.to_thread.run_sync(examine_home, settings.home),
        await _examine_daemon(environment),
        await _examine_default_model(settings),
        *examine_keys(environment),
        examine_embedded(settings),
    ]
    programs: tuple[Callable[[], Finding], ...] = (
        examine_git,
        examine_chromium,
        examine_postgres,
        examine_isolation,
    )
    findings += [await anyio.to_thread.run_sync(program) for program in programs]
    files = client_files(Path.home(), environment, sys.platform)
    names = [file.title for file in files.values() if is_registered(file)]
    if names:
        findings.append(Finding("clients", Health.GOOD, f"registered in {', '.join(names)}"))
    else:
        remedy = f"kiln-mcp install CLIENT, with one of: {', '.join(files)}"
        findings.append(Finding("clients", Health.OPTIONAL, "registered in none", remedy))
    return findings


def examine_home(home: Path) -> Finding:
    """Look at the folder of this person: private, writable, with room."""
    is_new = not os.path.lexists(home)
    folder = next(place for place in (home, *home.parents) if os.path.lexists(place))
    try:
        check_room(folder, _ROOM_BYTES)
        mode = folder.stat().st_mode
    except (OSError, WorkbenchError) as error:
        remedy = "make room, or name another folder in KILN_MCP_HOME"
        return Finding("home", Health.BROKEN, str(error), remedy)
    if not os.access(folder, os.W_OK):
        remedy = f"make {folder} writable for you, or name another folder in KILN_MCP_HOME"
        return Finding("home", Health.BROKEN, f"{folder} cannot be written", remedy)
    if is_new:
        return Finding("home", Health.GOOD, f"{home} (made at the first use)")
    if os.name != "nt" and stat.S_IMODE(mode) & 0o077:
        return Finding("home", Health.BROKEN, f"{home} is open to others", f"chmod 700 {home}")
    return Finding("home", Health.GOOD, str(home))


async def _examine_daemon(environment: Mapping[str, str]) -> Finding:
    """Start the server as a client does."""
    try:
        handshake = await shake_hands(own_launch(lasting_settings(environment)))
    except WorkbenchError as error:
        remedy = "run kiln-mcp serve in a terminal: it prints why it cannot start"
        return Finding("server", Health.BROKEN, str(error), remedy)
    text = f"{handshake.tools} tools after {handshake.seconds:.2f} s, version {handshake.version}"
    return Finding("server", Health.GOOD, text)


async def _examine_default_model(settings: Settings) -> Finding:
    name = settings.default_model
    remedy = "set KILN_MCP_MODEL to a model that is ready, or mend what is said here"
    if name == HOST:
        return Finding("default model", Health.GOOD, "host: the connected assistant")
    try:
        async with Engine(settings.engine) as engine:
            await engine.check_ready({name: 1})
    except ModelError as error:
        if name == EMBEDDED:  # nobody has chosen it
            remedy = "name a model in each call, host for example, or set KILN_MCP_MODEL"
            return Finding("default model", Health.OPTIONAL, "embedded, not installed", remedy)
        return Finding("default model", Health.BROKEN, str(error), remedy)
    small = ": small; see README, Models" if name == EMBEDDED else ""
    return Finding("default model", Health.GOOD, f"{name}{small}")


def examine_keys(environment: Mapping[str, str]) -> list[Finding]:
    """Name the providers whose keys are set; the values are never shown."""
    names = sorted(
        name
        for name in GROUPS
        if name.endswith(("_KEY", "_TOKEN")) and environment.get(name, "").strip()
    )
    if names:
        return [Finding("keys", Health.GOOD, f"set here: {', '.join(names)}")]
    remedy = "set OPENAI_API_KEY, ANTHROPIC_API_KEY or another, or keep it in the keyring"
    return [Finding("keys", Health.OPTIONAL, "none is set in this environment", remedy)]


def examine_embedded(settings: Settings) -> Finding:
    """Look for llama.cpp and the embedded model's file."""
    try:
        path = check_embedded_model(settings.engine.embedded.path)
    except ModelError as error:
        return Finding("embedded model", Health.OPTIONAL, str(error))
    return Finding("embedded model", Health.GOOD, f"{path.name}, {path.stat().st_size >> 20} MiB")


def examine_git() -> Finding:
    """Look for git, which shares projects and keeps their history."""
    version = _version_of("git")
    if version is None:
        return Finding("git", Health.OPTIONAL, "not found", "install git to share projects")
    return Finding("git", Health.GOOD, version)


def examine_chromium() -> Finding:
    """Look for a browser that makes pictures of pages."""
    name = next((name for name in _CHROMIUM if shutil.which(name)), None)
    if name is None:
        remedy = "install Chromium to make pictures and PDF of reports"
        return Finding("Chromium", Health.OPTIONAL, "not found", remedy)
    return Finding("Chromium", Health.GOOD, _version_of(name) or name)


def examine_postgres() -> Finding:
    """Look for the driver of Postgres, which shares jobs between machines."""
    if importlib.util.find_spec("psycopg") is None:
        remedy = 'pip install "kiln-mcp-server[postgres]" to share jobs between machines'
        return Finding("Postgres", Health.OPTIONAL, "its driver is not installed", remedy)
    return Finding("Postgres", Health.GOOD, "its driver is installed")


def examine_isolation() -> Finding:
    """Try what code evaluators can reach on this system."""
    gaps = protection().gaps
    if not gaps:
        text = "no network, no files but their folder and libraries, no other processes"
        return Finding("code evaluators", Health.GOOD, text)
    remedy = "read code before you trust a folder; Linux 5.13 or later confines it"
    text = f"limits of time and memory; they can {', '.join(gaps)}"
    return Finding("code evaluators", Health.OPTIONAL, text, remedy)


def _version_of(program: str) -> str | None:
    path = shutil.which(program)
    if path is None:
        return None
    try:
        run = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=_PROGRAM_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip().splitlines()[0] if run.stdout.strip() else None
