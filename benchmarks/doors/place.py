"""A home and a project for one row, the commands that it runs, and the server that it asks."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ENGINE: Final = Path(__file__).parents[1] / "engine"
SERVER: Final = ENGINE / "server.py"
VERDICT: Final = '{"reasoning": "polite", "polite": "pass"}'
COMMAND: Final = str(Path(sys.executable).with_name("kiln-mcp"))
CHAT: Final = str(Path(sys.executable).with_name("kiln-chat"))
TICK: Final = os.sysconf("SC_CLK_TCK")
WAIT_MS: Final = 50
LIMIT_S: Final = 900


@dataclass(slots=True)
class Door:
    """A home with its daemon and, where models are asked, a server."""

    folder: Path
    port: int = 0
    environment: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def run(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [COMMAND, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            raise RuntimeError(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def ask_server(self, path: str) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=10) as answer:
            report: dict[str, float] = json.load(answer)
        return report

    def daemon(self) -> int | None:
        try:
            pid = json.loads((self.home / "daemon.json").read_text(encoding="utf-8"))["pid"]
            os.kill(pid, 0)
        except (OSError, ValueError, KeyError):
            return None
        return int(pid)

    def stop_daemon(self) -> None:
        if (pid := self.daemon()) is not None:
            os.kill(pid, 15)
            while self.daemon() is not None:
                time.sleep(0.05)

    def daemon_cpu(self) -> float:
        pid = self.daemon()
        if pid is None:
            return 0.0
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        except FileNotFoundError:  # it has just ended
            return 0.0
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def daemon_peak_mib(self) -> int:
        pid = self.daemon()
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii") if pid else "VmHWM: 0 kB"
        return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024)

    def measured(self, *arguments: str) -> dict[str, float]:
        """Run a command; return its wall time, and the CPU of it and the daemon, in seconds."""
        before = children_cpu() + self.daemon_cpu()
        began = time.perf_counter()
        self.run(*arguments)
        wall = time.perf_counter() - began
        return {"wall_s": wall, "cpu_s": children_cpu() + self.daemon_cpu() - before}


def children_cpu() -> float:
    """Return the CPU seconds of the processes that were started here and have ended."""
    times = os.times()
    return times.children_user + times.children_system


@contextmanager
def model_server(answer: str) -> Generator[int]:
    """Serve a model that gives one answer; yield the port."""
    server = subprocess.Popen(
        [sys.executable, str(SERVER), str(WAIT_MS), "0", answer], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait()


@contextmanager
def door(*, concurrency: int = 0, answer: str = VERDICT) -> Generator[Door]:
    """A fresh home; with a concurrency also a model server that is known as `local`."""
    with tempfile.TemporaryDirectory(prefix="doors-") as folder, ExitStack() as servers:
        place = Door(Path(folder))
        place.home.mkdir(mode=0o700)
        place.environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "KILN_MCP_HOME": str(place.home),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        if concurrency:
            place.port = servers.enter_context(model_server(answer))
            entry = {
                "name": "local",
                "base_url": f"http://127.0.0.1:{place.port}/v1",
                "concurrency": concurrency,
                "input_usd_per_million": 0,
                "output_usd_per_million": 0,
            }
            (place.home / "servers.json").write_text(json.dumps([entry]), encoding="utf-8")
        try:
            yield place
        finally:
            place.stop_daemon()


Figures = dict[str, float]
"""What a row measured, by name; the name ends in the unit."""


def warm(place: Door) -> None:
    """Have the daemon up and the index built."""
    place.run("describe-project", "--project", str(place.project))
    place.run("check-job", "--job", "none", check=False)  # starts the daemon, and refuses
