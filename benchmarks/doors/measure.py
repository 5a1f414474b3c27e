"""Measure the doors that people use: the command line with its daemon, one row a question.

    python benchmarks/doors/measure.py [--rows a,b] [--runs 3] [--large] [--peers FOLDER]

Each row starts from a home and a project of its own. Rows that ask a model ask a loopback server
that answers after 50 ms and notes when it was asked. `--large` adds the rows of 10,000 items and
more. `--peers` names the folder of `benchmarks/engine/install.py`: pydantic-evals then runs the
same calls in turns with ours, and pandas reads the imported table. Figures are medians; CPU is of
the command and the daemon together.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import projects

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

    def daemon_cpu(self) -> float:
        pid = self.daemon()
        if pid is None:
            return 0.0
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def daemon_peak_mib(self) -> int:
        pid = self.daemon()
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii") if pid else "VmHWM: 0 kB"
        return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024)

    def measured(self, *arguments: str) -> dict[str, float]:
        """Run a command; return its wall time, and the CPU of it and the daemon, in seconds."""
        before, children = self.daemon_cpu(), os.times()
        began = time.perf_counter()
        self.run(*arguments)
        wall = time.perf_counter() - began
        after = os.times()
        own = after.children_user + after.children_system
        own -= children.children_user + children.children_system
        return {"wall_s": wall, "cpu_s": own + self.daemon_cpu() - before}


@contextmanager
def door(*, concurrency: int = 0, answer: str = VERDICT) -> Generator[Door]:
    """A fresh home; with a concurrency also a model server that is known as `local`."""
    with tempfile.TemporaryDirectory(prefix="doors-") as folder:
        place = Door(Path(folder))
        place.home.mkdir(mode=0o700)
        place.environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "KILN_MCP_HOME": str(place.home),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        server = None
        if concurrency:
            server = subprocess.Popen(
                [sys.executable, str(SERVER), str(WAIT_MS), "0", answer],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert server.stdout is not None
            place.port = int(server.stdout.readline())
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
            if (pid := place.daemon()) is not None:
                os.kill(pid, 15)
                while place.daemon() is not None:
                    time.sleep(0.05)
            if server is not None:
                server.terminate()
                server.wait()


Figures = dict[str, float]


def project(place: Door, items: int, *, verdicts: bool) -> None:
    asyncio.run(projects.measured_project(place.project, place.home, items, verdicts=verdicts))


def eval_call(place: Door, evaluator: str, *configs: str) -> list[str]:
    named = [part for config in configs for part in ("--run-configs", config)]
    return [
        *("run-eval", "--project", str(place.project), "--eval", "Polite", "--yes"),
        *("--evaluator", evaluator, *named),
    ]


def warm(place: Door) -> None:
    """Have the daemon up and the index built."""
    place.run("describe-project", "--project", str(place.project))
    place.run("wait-for-job", "--job", "none", check=False)  # starts the daemon, and refuses


def run_eval(concurrency: int) -> Figures:
    """1,000 stored outputs and an LLM judge: the first job of a daemon that was just started; the
    same judge again, from the response cache; then another judge, by the daemon that is warm.
    """
    with door(concurrency=concurrency) as place:
        project(place, 1000, verdicts=False)
        warm(place)
        paid = place.measured(*eval_call(place, "judge", "A"))
        report = place.ask_server("report")
        assert report["calls"] == 1000, report
        place.ask_server("forget")
        cached = place.measured(*eval_call(place, "same judge", "A"))
        assert place.ask_server("report")["calls"] == 0
        other = place.measured(*eval_call(place, "other judge", "A"))
        warm_report = place.ask_server("report")
        assert warm_report["calls"] == 1000, warm_report
        return {
            **bare_engine(concurrency),
            "warm_calls_span_s": warm_report["span_s"],
            "warm_wall_s": other["wall_s"],
            "warm_cpu_ms_an_item": other["cpu_s"],
            "calls_span_s": report["span_s"],
            "most_in_flight": report["most_open"],
            "wall_s": paid["wall_s"],
            "cpu_ms_an_item": paid["cpu_s"],
            "daemon_mib": place.daemon_peak_mib(),
            "from_cache_wall_s": cached["wall_s"],
            "from_cache_cpu_ms_an_item": cached["cpu_s"],
        }


def bare_engine(concurrency: int) -> Figures:
    """The same number of calls through the engine alone, which no door can undercut."""
    with door(concurrency=concurrency, answer='{"score": "pass"}') as place:
        call = [sys.executable, str(ENGINE / "ours.py"), str(place.port), "1000", str(concurrency)]
        done = subprocess.run(call, capture_output=True, text=True, timeout=LIMIT_S, check=True)
        figures = json.loads(done.stdout)
        return {
            "engine_wall_s": figures["wall_s"],
            "engine_cpu_ms_a_call": figures["cpu_ms_a_call"],
        }


def nothing_to_do(items: int) -> Figures:
    with door() as place:
        project(place, items, verdicts=True)
        warm(place)
        place.run(*eval_call(place, "check"))
        took = place.measured(*eval_call(place, "check"))
        return {**took, "daemon_mib": place.daemon_peak_mib()}


def generate_and_check() -> Figures:
    with door(concurrency=100, answer="thank you") as place:

        async def make() -> None:
            from storage import Project, ProjectStore

            async with await ProjectStore.create(
                place.project, Project(name="Doors"), home=place.home
            ) as store:
                task, _ = await projects.task_with_items(store, 1000, projects.TAG)
                parent = await projects.eval_of(store, task)
                await projects.evaluator(store, parent, "check", projects.CHECK)
                await projects.run_config(store, task, "A")

        asyncio.run(make())
        warm(place)
        took = place.measured(*eval_call(place, "check", "A"))
        assert place.ask_server("report")["calls"] == 1000
        return {"wall_s": took["wall_s"], "cpu_ms_an_item": took["cpu_s"]}


def generate_data(items: int) -> Figures:
    """Outputs for inputs of the caller, by a server that allows 100 at once."""
    with door(concurrency=100, answer="thank you") as place:

        async def make() -> None:
            from storage import Project, ProjectStore

            async with await ProjectStore.create(
                place.project, Project(name="Doors"), home=place.home
            ) as store:
                task, _ = await projects.task_with_items(store, 1)
                await projects.run_config(store, task, "A")

        asyncio.run(make())
        warm(place)
        inputs = json.dumps(
            [f"Where is parcel {number}? Call {number}." for number in range(items)]
        )
        call = ["generate-data", "--project", str(place.project), "--inputs", inputs, "--yes"]
        took = place.measured(*call)
        report = place.ask_server("report")
        assert report["calls"] == items
        return {
            "calls_span_s": report["span_s"],
            "most_in_flight": report["most_open"],
            "wall_s": took["wall_s"],
            "cpu_ms_an_item": took["cpu_s"] / items * 1000,
        }


def compare(items: int) -> Figures:
    with door() as place:
        project(place, items, verdicts=True)
        warm(place)
        return place.measured(
            *("compare-run-configs", "--project", str(place.project), "--eval", "Polite"),
            *("--first", "A", "--second", "B", "--evaluator", "check"),
        )


PANDAS: Final = """
import pathlib, sys, pandas
table, folder = sys.argv[1], pathlib.Path(sys.argv[2])
for number, row in enumerate(pandas.read_json(table, lines=True).itertuples()):
    place = folder / str(number)
    place.mkdir(parents=True)
    (place / "row.json").write_text(row.input + row.output)
"""
"""Reads a table and writes a file in a folder for each row, as Kiln's format has them: no ids, no
checks, no wait for the disk."""
GUESTS: Final = [f"{first}{last}" for first in ("Ba", "De", "Ki", "Lo") for last in ("na", "ri")]
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def plain(number: int) -> str:
    return f"Question {number}?"


def templated(number: int) -> str:
    """Texts of one template: near-duplicates in groups, of which all share most of their words."""
    guests, place, day = number % 12 + 1, GUESTS[number * 7 % 8], DAYS[number * 5 % 7]
    return f"Please book a table for {guests} at {place} on {day} number {number}"


def project_with_rows(place: Door, rows: int, text: Callable[[int], str]) -> tuple[Path, Figures]:
    """Import a table into a new project; return the table and what the import took."""
    table = place.folder / "rows.jsonl"
    with table.open("w", encoding="utf-8") as file:
        for number in range(rows):
            line = {"input": text(number), "output": f"Answer {number}.", "tags": ["a"]}
            file.write(json.dumps(line) + "\n")
    place.run("create-project", "--name", "P", "--folder", str(place.project))
    call = ["--project", str(place.project), "--name", "T", "--instruction", "Answer."]
    place.run("create-task", *call)
    warm(place)
    took = place.measured("add-data", "--project", str(place.project), "--file", str(table))
    return table, took


def import_rows(rows: int, pandas: Path | None) -> Figures:
    with door() as place:
        table, took = project_with_rows(place, rows, plain)
        took["daemon_mib"] = place.daemon_peak_mib()
        if pandas is not None:
            began, before = time.perf_counter(), os.times()
            folder = str(place.folder / "files")
            subprocess.run([str(pandas), "-c", PANDAS, str(table), folder], check=True)
            after = os.times()
            took["pandas_wall_s"] = time.perf_counter() - began
            took["pandas_cpu_s"] = after.children_user + after.children_system
            took["pandas_cpu_s"] -= before.children_user + before.children_system
        return took


def split(items: int) -> Figures:
    with door() as place:
        project_with_rows(place, items, templated)
        took = place.measured("split-data", "--project", str(place.project), "--name", "s")
        return {**took, "daemon_mib": place.daemon_peak_mib()}


def start() -> Figures:
    with door() as place:
        project(place, 100, verdicts=True)
        warm(place)
        calls = {
            "version": ["--version"],
            "help": ["--help"],
            "describe_project": ["describe-project", "--project", str(place.project)],
        }
        figures: Figures = {}
        for name, call in calls.items():
            took = [place.measured(*call) for _ in range(5)]
            figures[f"{name}_wall_s"] = statistics.median(one["wall_s"] for one in took)
            figures[f"{name}_cpu_s"] = min(one["cpu_s"] for one in took)
        return figures


def chat() -> Figures:
    """kiln-chat from its start to the first request at a server of its own, the daemon warm."""
    with door(concurrency=4, answer="Hello.") as place:
        place.run("list-models")
        place.environment["KILN_MCP_HOME"] = str(place.home)
        address = f"http://127.0.0.1:{place.port}/v1"
        waits, cpu = list[float](), list[float]()
        for _ in range(5):
            place.ask_server("forget")
            children = os.times()
            began = time.perf_counter()
            subprocess.run(
                [CHAT, "--model", "m", "--api-base", address],
                env=place.environment,
                input="Hello\n",
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=True,
            )
            after = os.times()
            waits.append(place.ask_server("report")["first"] - began)
            cpu.append(
                after.children_user
                + after.children_system
                - children.children_user
                - children.children_system
            )
        return {"first_request_s": statistics.median(waits), "cpu_s": min(cpu)}


def listing(*, cold: bool) -> Figures:
    """From the spawn of the program to its answer to tools/list, in a home without a daemon."""
    figures: Figures = {}
    for era, lines in FIRST_LINES.items():
        with door() as place:
            if not cold:
                seconds_to_list(place, lines)
                wait_for_daemon(place)
            waits = [seconds_to_list(place, lines) for _ in range(1 if cold else 5)]
            figures[f"{era}_s"] = statistics.median(waits)
            wait_for_daemon(place)  # a home is removed after its daemon
    return figures


def wait_for_daemon(place: Door) -> None:
    until = time.monotonic() + 60
    while place.daemon() is None and time.monotonic() < until:
        time.sleep(0.05)


ENVELOPE: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "measure", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HANDSHAKE: Final = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "measure", "version": "1"},
}
FIRST_LINES: Final[Mapping[str, Sequence[Mapping[str, object]]]] = {
    "legacy": [
        {"id": 1, "method": "initialize", "params": HANDSHAKE},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
    ],
    "modern": [{"id": 2, "method": "tools/list", "params": {"_meta": ENVELOPE}}],
}


def seconds_to_list(place: Door, lines: Sequence[Mapping[str, object]]) -> float:
    """Start the program as a client does; return the seconds until its tools are listed."""
    began = time.perf_counter()
    program = subprocess.Popen(
        [COMMAND],
        env=place.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    for line in lines:
        program.stdin.write(json.dumps({"jsonrpc": "2.0", **line}).encode() + b"\n")
        program.stdin.flush()
    while json.loads(program.stdout.readline()).get("id") != 2:
        pass
    took = time.perf_counter() - began
    program.stdin.close()
    program.wait(LIMIT_S)
    return took


def writers() -> Figures:
    """16 tasks of one process save 1,000 verdicts."""

    async def work(folder: Path) -> Figures:
        from storage import EvalRun, Project, ProjectStore

        async with await ProjectStore.create(
            folder / "p", Project(name="P"), home=folder / "home"
        ) as store:
            task, runs = await projects.task_with_items(store, 1)
            parent = await projects.eval_of(store, task)
            judge = await projects.evaluator(store, parent, "check", projects.CHECK)
            await store.counts(task)
            waits: list[float] = []
            todo = iter(range(1000))

            async def save() -> None:
                for number in todo:
                    verdict = EvalRun(
                        dataset_id=str(number),
                        task_run_config_id="1" * 12,
                        scored_run_id=runs[0].id,
                        scores={"polite": 1.0},
                    )
                    began = time.perf_counter()
                    await store.save(verdict, parent=judge)
                    waits.append(time.perf_counter() - began)

            cpu = time.process_time()
            async with asyncio.TaskGroup() as group:
                for _ in range(16):
                    group.create_task(save())
            cpu = time.process_time() - cpu
        waits.sort()
        return {"p50_ms": waits[500] * 1e3, "p99_ms": waits[990] * 1e3, "cpu_ms_a_save": cpu}

    with tempfile.TemporaryDirectory(prefix="doors-") as folder:
        return asyncio.run(work(Path(folder)))


ROWS: Final[Mapping[str, Callable[[], Figures]]] = {
    "start": start,
    "chat": chat,
    "list-cold": lambda: listing(cold=True),
    "list-warm": lambda: listing(cold=False),
    "writers": writers,
    "run-eval-25": lambda: run_eval(25),
    "run-eval-100": lambda: run_eval(100),
    "generate-and-check": generate_and_check,
    "generate-data": lambda: generate_data(500),
    "nothing-to-do-1000": lambda: nothing_to_do(1000),
    "split-10000": lambda: split(10_000),
    "nothing-to-do-10000": lambda: nothing_to_do(10_000),
    "compare-10000": lambda: compare(10_000),
    "import-10000": lambda: import_rows(10_000, pandas_python()),
    "import-100000": lambda: import_rows(100_000, pandas_python()),
    "split-100000": lambda: split(100_000),
}
LARGE: Final = frozenset(name for name in ROWS if name.endswith("0000"))


def pandas_python() -> Path | None:
    """Return the interpreter of the venv with pandas, if `--peers` names its folder."""
    folder = os.environ.get("PEERS")
    return Path(folder) / "pandas" / "bin" / "python" if folder else None


def peer(folder: Path, concurrency: int) -> Figures:
    """The same calls through pydantic-evals, in a venv of its own."""
    server = subprocess.Popen(
        [sys.executable, str(SERVER), str(WAIT_MS)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        python = folder / "pydantic-evals" / "bin" / "python"
        done = subprocess.run(
            [str(python), str(ENGINE / "peer_pydantic_evals.py"), port, "1000", str(concurrency)],
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT_S,
            cwd=ENGINE,
        )
    finally:
        server.terminate()
        server.wait()
    figures = json.loads(done.stdout.splitlines()[-1])
    return {"wall_s": figures["wall_s"], "cpu_ms_an_item": figures["cpu_ms_a_call"]}


def say(name: str, runs: Sequence[Figures]) -> None:
    keys = dict.fromkeys(key for figures in runs for key in figures)
    shown: list[str] = []
    for key in keys:
        values = [figures[key] for figures in runs if key in figures]
        text = f"{statistics.median(values):.2f}"
        if len(values) > 1:
            text += f" ({min(values):.2f} to {max(values):.2f})"
        shown.append(f"{key} {text}")
    print(f"{name}: {', '.join(shown)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--peers", type=Path)
    chosen = parser.parse_args()
    if chosen.peers:
        os.environ["PEERS"] = str(chosen.peers.absolute())
    names = (
        chosen.rows.split(",")
        if chosen.rows
        else [name for name in ROWS if chosen.large or name not in LARGE]
    )
    for name in names:
        ours: list[Figures] = []
        others: list[Figures] = []
        for _ in range(chosen.runs):
            ours.append(ROWS[name]())
            if chosen.peers and name.startswith("run-eval"):
                others.append(peer(chosen.peers, int(name.rpartition("-")[2])))
        say(name, ours)
        if others:
            say("  pydantic-evals", others)


if __name__ == "__main__":
    main()
