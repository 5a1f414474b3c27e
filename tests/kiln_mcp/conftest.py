"""A real PostgreSQL, where it is installed."""

import getpass
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def postgres() -> Iterator[str]:
    if shutil.which("pg_ctl") is None:
        pytest.skip("no PostgreSQL server program (apt install postgresql)")
    owner = "postgres" if getpass.getuser() == "root" else None
    folder = Path(tempfile.mkdtemp(prefix="kiln-pg-"))
    if owner:
        shutil.chown(folder, owner)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    tools = Path(str(shutil.which("pg_ctl"))).resolve().parent
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(
            command, user=owner, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60
        )

    run(str(tools / "initdb"), "-D", str(data), "-A", "trust", "-U", "kiln", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    command = [str(tools / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log")]
    run(*command, "-o", options, "start")
    run(str(tools / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "kiln", "kiln")
    yield f"postgresql://kiln@127.0.0.1:{port}/kiln"
    run(str(tools / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)
