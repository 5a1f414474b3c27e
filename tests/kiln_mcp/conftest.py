"""A home with one project, and a real PostgreSQL where it is installed, one a session."""

import getpass
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import psycopg
import pytest

from bench import Agrees, Bench, BenchSetup, open_bench
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.lifecycle import open_workspace
from kiln_mcp.workbench.workspace import Workspace

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server on the loopback, trusting everybody, without a wait for the disk."""

    port: int

    def url(self, database: str) -> str:
        return f"postgresql://kiln@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


def _tools() -> Path | None:
    """Return the folder of the server's programs; Debian keeps them off the PATH."""
    on_path = shutil.which("pg_ctl")
    if on_path is not None:
        return Path(on_path).resolve().parent
    return next(
        (found.parent for found in sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))), None
    )


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    tools = _tools()
    if tools is None:
        pytest.skip("no PostgreSQL server program (apt install postgresql)")
    owner = "postgres" if getpass.getuser() == "root" else None
    folder = Path(tempfile.mkdtemp(prefix="kiln-pg-"))
    if owner:
        shutil.chown(folder, owner)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(
            command, user=owner, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60
        )

    run(str(tools / "initdb"), "-D", str(data), "-A", "trust", "-U", "kiln", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    command = [str(tools / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log")]
    run(*command, "-o", options, "start")
    yield PostgresServer(port)
    run(str(tools / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """Return the URL of an empty database of the test's own."""
    name = f"kiln_{next(_numbers)}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncGenerator[Workspace]:
    """A home with one project, "P", that has one task, "Answer", and a person who agrees."""
    settings = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})
    tools = installed_catalogue()
    async with open_workspace(settings) as opened:
        folder = str(tmp_path / "p")
        await tools.perform(opened, "create_project", {"name": "P", "folder": folder})
        task = {"project": "P", "name": "Answer", "instruction": "Do it."}
        await tools.perform(opened, "create_project", task)
        yield replace(opened, person=Agrees())


@pytest.fixture
def bench_setup() -> BenchSetup:
    """What the bench of a module is made of; a module says so in a fixture of this name."""
    raise NotImplementedError("define the fixture bench_setup")


@pytest.fixture
async def bench(tmp_path: Path, bench_setup: BenchSetup) -> AsyncGenerator[Bench]:
    """A project with one task and a model, for tests of measuring."""
    async with open_bench(tmp_path, bench_setup) as opened:
        yield opened
