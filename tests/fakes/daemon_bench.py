"""A client of the bridge whose daemon can be killed while a job asks a counting server."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anyio
from anyio.abc import Process
from mcp import Client, MCPError, StdioServerParameters

from bridge_client import BRIDGE, agree
from storage import (
    DataSource,
    Eval,
    EvalConfig,
    EvalRun,
    Project,
    ProjectStore,
    Task,
    TaskOutput,
    TaskRun,
)

COMMAND = ("run-eval", "--project", ".", "--eval", "Right")
ROOT = Path(__file__).parents[2]
WAIT_S = 1.0
AT_ONCE = 16
"""How many calls are in flight together."""


class CountingServer(Protocol):
    """The model's server, as conftest.py makes it."""

    questions: list[str]
    address: str
    latency_s: float

    async def until_asked(self, count: int) -> None: ...


def say(number: int) -> str:
    return f"item {number:05}"


async def make_project(folder: Path, items: int) -> None:
    """Make a project whose task has so many items to be measured on."""
    async with await ProjectStore.create(folder, Project(name="Killed")) as store:
        task = await store.save(Task(name="Repeat", instruction="Do it."), parent=store.project)
        person = DataSource(type="human", properties={"created_by": "ann"})
        async with store.transaction() as change:
            for number in range(items):
                output = TaskOutput(output=f"answer to {say(number)}", source=person)
                run = TaskRun(
                    input=say(number), input_source=person, output=output, tags=("eval_right",)
                )
                change.save(run, parent=task)


@dataclass(slots=True)
class Bench:
    """A client whose daemon can be killed, and what the model's server and the response cache saw.

    Attributes:
        paid_twice: Requests that were sent again though the response cache, read at a kill, had
            their answer.
    """

    client: Client
    home: Path
    project: Path
    server: CountingServer
    kills: int = 0
    environment: dict[str, str] = field(default_factory=dict[str, str])
    _cache_rows: list[tuple[int, frozenset[str]]] = field(
        default_factory=list[tuple[int, frozenset[str]]]
    )

    async def call(self, name: str, /, **arguments: object) -> Mapping[str, Any]:
        answer = await self.client.call_tool(name, json.loads(json.dumps(arguments)))
        assert not answer.is_error, answer
        return answer.structured_content or {}

    async def start(self, **limits: float) -> str:
        """Begin the eval as a job, with limits such as `limit_calls`."""
        started = await self.call(
            "run_eval", project=str(self.project), eval="Right", wait_s=0, **limits
        )
        return str(started["job"])

    async def command(self, *arguments: str) -> Process:
        """Start a command of a person's shell in the folder of the project."""
        return await anyio.open_process(
            [sys.executable, "-c", BRIDGE, *arguments],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
        )

    async def at_rest(self, job: str) -> Mapping[str, Any]:
        """Wait until a job is at rest, through as many calls and daemons as it takes."""
        while True:
            report = await self.call("check_job", job=job, seconds=WAIT_S)
            if report["state"] not in {"waiting", "running", "cancelling", "pausing"}:
                return report

    async def call_in_vain(self, tool: str, job: str, **arguments: object) -> None:
        """Call a tool whose answer may be lost with the daemon."""
        with suppress(MCPError):
            await self.call(tool, job=job, **arguments)

    async def until(self, job: str, states: set[str]) -> None:
        while (await self.call("check_job", job=job, seconds=0))["state"] not in states:
            pass

    async def kill_when_asked(self, moments: Sequence[int]) -> None:
        for moment in moments:
            await self.server.until_asked(moment)
            await self.kill_running()

    async def kill_running(self) -> None:
        """Kill the daemon as soon as one runs; the last one may have been killed just now."""
        while True:
            try:
                self.kill()
            except (OSError, ValueError):
                await anyio.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """Kill the daemon, and note what its response cache held then."""
        names = json.loads((self.home / "daemon.json").read_text(encoding="utf-8"))
        os.kill(names["pid"], signal.SIGKILL)
        self.kills += 1
        self.note()

    def note(self) -> None:
        """Note what the response cache holds and how many requests were sent by now."""
        cache = sqlite3.connect(self.home / "responses.sqlite")
        texts = [json.loads(row[0])["text"] for row in cache.execute("SELECT answer FROM calls")]
        cache.close()
        answers = frozenset(text.removeprefix("answer to ") for text in texts)
        self._cache_rows.append((len(self.server.questions), answers))

    @property
    def paid_twice(self) -> list[str]:
        return [
            text
            for requests, answers in self._cache_rows
            for text in self.server.questions[requests:]
            if text in answers
        ]

    async def results(self) -> tuple[list[str], list[str]]:
        """Return the inputs of all saved outputs, and the items of all saved verdicts."""
        async with await ProjectStore.open(self.project) as store:
            [task] = await store.children(store.project, Task)
            runs = await store.children(task, TaskRun)
            verdicts = [verdict async for verdict in _verdicts(store, task)]
        created = [run.input for run in runs if run.eval_source]
        return created, verdicts


async def _verdicts(store: ProjectStore, task: Task) -> AsyncGenerator[str]:
    for measure in await store.children(task, Eval):
        for judge in await store.children(measure, EvalConfig):
            for verdict in await store.children(judge, EvalRun):
                yield str(verdict.dataset_id)


@asynccontextmanager
async def open_daemon_bench(
    folder: Path, server: CountingServer, items: int, **more_calls: str
) -> AsyncGenerator[Bench]:
    home, project = folder / "home", folder / "project"
    home.mkdir()
    free = {"input_usd_per_million": 0, "output_usd_per_million": 0}
    names = {"name": "loop", "base_url": server.address, "concurrency": AT_ONCE, **free}
    (home / "servers.json").write_text(json.dumps([names]), encoding="utf-8")
    await make_project(project, items)
    environment = {
        **os.environ,
        "KILN_MCP_HOME": str(home),
        "KILN_MCP_MODEL": "loop/tiny",
        "PYTHONPATH": str(ROOT),
        **more_calls,
    }
    stdio = StdioServerParameters(command=sys.executable, args=["-c", BRIDGE], env=environment)
    async with Client(stdio, mode="legacy", elicitation_callback=agree) as client:
        bench = Bench(client, home, project, server, environment=environment)
        await client.list_tools()
        exact = {"type": "exact_match", "reference_key": "reference_answer"}
        await bench.call("create_evaluator", project=str(project), eval="Right", **exact)
        await bench.call(
            "create_run_config",
            project=str(project),
            name="only",
            prompt="Answer.",
            model="loop/tiny",
        )
        try:
            yield bench
        finally:
            bench.kill()
