"""Clients that people use build a spec and run an eval, offline, against a scripted model.

The libraries are in the venv of `CLIENTS_PYTHON`, the programs below `CLIENTS_NPM`, and
`CLIENTS_NODE` is a Node that is new enough for them.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from assistant_programs import PROGRAMS
from assistant_script import ITEMS, saved_records, session
from assistant_server import Assistant, assistant_server, own_server
from kiln_mcp.doors.clients.client_files import Launch
from person_home import stop_daemon

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]
WITHIN_S: Final = 150
PLAY: Final = Path(__file__).parents[1] / "kiln_mcp" / "clients" / "play_session.py"
LIBRARIES: Final = ("fastmcp", "pydantic-ai", "openai-agents")


@dataclass(frozen=True)
class World:
    """A person's home with the server, and the model that plays the assistant."""

    home: Path
    assistant: Assistant
    address: str

    @property
    def project(self) -> Path:
        return self.home / "support"

    @property
    def launch(self) -> Launch:
        program = Path(sys.executable).with_name("kiln-mcp")
        settings = (
            ("KILN_MCP_HOME", str(self.home / "kiln")),
            ("KILN_MCP_MODEL", "local/kiln"),
        )
        return Launch(str(program), (), settings)


@asynccontextmanager
async def open_world(home: Path) -> AsyncGenerator[World]:
    (home / "kiln").mkdir(mode=0o700)
    (home / "work").mkdir()
    assistant = Assistant(session(home / "support"))
    async with assistant_server(assistant) as address:
        servers = json.dumps([own_server(address)])
        (home / "kiln" / "servers.json").write_text(servers, encoding="utf-8")
        try:
            yield World(home, assistant, address)
        finally:
            await asyncio.to_thread(stop_daemon, home)


async def run(
    command: Sequence[str], world: World, environment: Mapping[str, str], text: str = ""
) -> str:
    """Run a client to its end; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=world.home / "work",
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            printed, _ = await process.communicate(text.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, printed.decode()[-4000:]
    return printed.decode()


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_library_builds_a_spec_and_runs_an_eval(tmp_path: Path, library: str) -> None:
    async with open_world(tmp_path) as world:
        launch = world.launch
        plan = {
            "command": launch.command,
            "args": launch.args,
            "env": {"HOME": str(tmp_path), "PATH": os.environ["PATH"], **dict(launch.settings)},
            "address": world.address,
            "steps": [[step.tool, step.arguments] for step in world.assistant.steps],
        }
        command = [os.environ["CLIENTS_PYTHON"], str(PLAY), library]
        environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        printed = await run(command, world, environment, json.dumps(plan))
    assert saved_records(world.project) == (1, ITEMS), printed[-4000:]


@pytest.mark.skipif("CLIENTS_NPM" not in os.environ, reason="set CLIENTS_NPM and CLIENTS_NODE")
@pytest.mark.parametrize("name", ["opencode", "qwen"])
async def test_a_program_builds_a_spec_and_runs_an_eval(tmp_path: Path, name: str) -> None:
    program = PROGRAMS[name]
    node = os.environ["CLIENTS_NODE"]
    async with open_world(tmp_path) as world:
        program.prepare(tmp_path, world.address, world.launch)
        environment = program.environment(tmp_path, world.address, node)
        command = program.line(Path(os.environ["CLIENTS_NPM"]), node)
        printed = await run(command, world, environment)
    seen = "\n".join([printed[-4000:], *world.assistant.results])
    assert saved_records(world.project) == (1, ITEMS), seen
    assert len(world.assistant.results) == len(world.assistant.steps)
