"""The official conformance suite passes against a real daemon, in three versions of the protocol.

The daemon is a process with its real catalogue, guard and transport. Beside these it answers the
suite's fixtures. The suite cannot send a token, so a proxy adds it.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import pytest

from token_proxy import token_proxy

ROOT: Final = Path(__file__).parents[2]
EXPECTED_FAILURES: Final = Path(__file__).with_name("expected_failures.yaml")
PROGRAM: Final = """
import os
from functools import partial
import anyio
from conformance_fixtures import install
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.doors.daemon import serve
from kiln_mcp.settings import Settings
settings = Settings.from_environment(os.environ)
anyio.run(partial(serve, settings, installed_catalogue(), extensions=(install,)))
"""
LEAST_CHECKS: Final = {"2025-06-18": 54, "2025-11-25": 79, "2026-07-28": 150}
"""Fewer mean that scenarios were skipped."""


@asynccontextmanager
async def address_of_daemon(home: Path) -> AsyncGenerator[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "fakes")])
    environment = {**os.environ, "KILN_MCP_HOME": str(home), "PYTHONPATH": path}
    file = home / "daemon.json"
    async with await anyio.open_process(
        [sys.executable, "-P", "-c", PROGRAM], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as daemon:  # fmt: skip
        try:
            with anyio.fail_after(60):
                while not file.exists():
                    assert daemon.returncode is None
                    await anyio.sleep(0.02)
            entry = json.loads(file.read_text(encoding="utf-8"))
            async with token_proxy(entry["port"], entry["token"]) as port:
                yield f"http://127.0.0.1:{port}/mcp"
        finally:
            daemon.terminate()


async def report_of_suite(home: Path, *arguments: str) -> tuple[int, str]:
    """Return the exit code and the report of a run of the suite."""
    async with address_of_daemon(home) as address:
        command = [*shlex.split(os.environ["MCP_CONFORMANCE"]), "server", "--url", address]
        with anyio.fail_after(100):
            run = await anyio.run_process([*command, *arguments], check=False, cwd=home)
    return run.returncode, (run.stdout + run.stderr).decode(errors="replace")


@pytest.mark.conformance
@pytest.mark.parametrize("version", LEAST_CHECKS)
async def test_everything_passes_but_what_is_deprecated_or_optional(
    tmp_path: Path, version: str
) -> None:
    code, report = await report_of_suite(
        tmp_path, "--suite", "all", "--spec-version", version,
        "--expected-failures", str(EXPECTED_FAILURES),
    )  # fmt: skip
    assert code == 0, report[-8_000:]
    total = re.search(r"Total: (\d+) passed", report)
    assert total is not None
    assert int(total[1]) >= LEAST_CHECKS[version]


@pytest.mark.conformance
@pytest.mark.parametrize(("scenario", "least"), [("enumeration", 30), ("manifest", 5)])
async def test_the_skills_extension_passes(tmp_path: Path, scenario: str, least: int) -> None:
    code, report = await report_of_suite(tmp_path, "--scenario", f"sep-2640-skills-{scenario}")
    passed = re.search(r"Passed: (\d+)/\d+, 0 failed, 0 warnings", report)
    assert code == 0, report[-8_000:]
    assert passed is not None, report[-8_000:]
    assert int(passed[1]) >= least
    assert "SKIPPED" not in report
