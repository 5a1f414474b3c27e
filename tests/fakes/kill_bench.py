"""A client whose daemon is killed while a model's server, in a process of its own, counts calls."""

import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio
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

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "tests" / "kill" / "model_server.py"
AT_ONCE = 16
"""How many calls of a model may be on their way at a kill."""
WAIT_S = 1.0
FREE = {"input_usd_per_million": 0, "output_usd_per_million": 0}
OPEN = 10**9
"""A gate that holds nothing."""
REPEATED = 20
"""Calls in a row whose answers may be lost before a test gives up."""


@dataclass(slots=True)
class Bench:
    """A client whose daemon is killed, with its home and project, and the model's server.

    Attributes:
        saved: The files of results that were seen at some kill: none of them may vanish.
    """

    client: Client
    home: Path
    project: Path
    address: str
    environment: dict[str, str]
    session: aiohttp.ClientSession
    chance: random.Random
    kills: int = 0
    saved: set[str] = field(default_factory=set[str])

    # ------------------------------------------------------------ calls

    async def call(self, tool: str, /, **arguments: object) -> Mapping[str, Any] | None:
        """Call a tool; None if the daemon was killed before it answered."""
        try:
            answer = await self.client.call_tool(tool, json.loads(json.dumps(arguments)))
        except MCPError:
            return None
        if answer.is_error:
            said = str(answer.content)
            assert "daemon" in said or "server" in said, said
            return None
        return answer.structured_content or {}

    async def insist(self, tool: str, /, **arguments: object) -> Mapping[str, Any]:
        """Call a tool until it answers, as a client does that can do so without harm."""
        for _ in range(REPEATED):
            answer = await self.call(tool, **arguments)
            if answer is not None:
                return answer
        raise AssertionError(f"{tool} never answered")

    async def start(self, tool: str, limit: Mapping[str, float], **arguments: object) -> str:
        """Begin long work with the person's approval, and return its job."""
        limits = {f"limit_{kind}": amount for kind, amount in limit.items()}
        started = await self.insist(
            tool, project=str(self.project), wait_s=0, **limits, **arguments
        )
        return str(started["job"])

    async def at_rest(self, job: str) -> Mapping[str, Any]:
        """Wait until a job has ended, through as many daemons as it takes.

        Killed so fast that it gets nowhere, it is set aside; then it is gone on with.
        """
        while True:
            report = await self.insist("check_job", job=job, seconds=WAIT_S)
            if report["state"] == "set aside":
                await self.call("resume_job", job=job)
            elif report["state"] not in {"waiting", "running", "cancelling", "pausing"}:
                return report

    # ------------------------------------------------------------ kills

    def kill(self) -> None:
        """Kill the daemon, if there is one, and note what was saved by then."""
        with suppress(OSError, ValueError):
            known = json.loads((self.home / "daemon.json").read_text(encoding="utf-8"))
            os.kill(known["pid"], signal.SIGKILL)
            self.kills += 1
        files = self.project.rglob("*_run.kiln")
        self.saved |= {str(file) for file in files if ".trash" not in file.parts}

    async def kill_while_asking(self, kills: int, longest_step: int) -> None:
        """Kill the daemon many times, each time after some more requests."""
        asked = (await self.question_counts()).total()
        for _ in range(kills):
            await self.question_counts(asked + self.chance.randrange(1, longest_step))
            await anyio.sleep(self.chance.uniform(0, 0.03))
            self.kill()
            asked = (await self.question_counts()).total()

    async def kill_at_gates(self, part: str, kills: int, step: int) -> None:
        """Kill the daemon so many times, each time when a part of its requests has come further.

        The server answers up to a decided request and holds the next ones until the kill, so none
        of the kills can come too late.
        """
        for _ in range(kills):
            async with self.session.get(f"{self.address}/held?part={part}") as response:
                requests = int(await response.text())
            before = self.kills
            while self.kills == before:
                self.kill()
                await anyio.sleep(0.01)
            await self.set_gate(part, requests + step)
        await self.set_gate(part, OPEN)

    async def set_gate(self, part: str, limit: int) -> None:
        """Let the server answer so many requests of a part, and hold the others."""
        url = f"{self.address}/gate?part={part}&limit={limit}"
        async with self.session.get(url) as response:
            assert response.status == 200

    async def kill_soon(self, longest_s: float) -> None:
        """Kill the daemon at a random moment."""
        await anyio.sleep(self.chance.uniform(0, longest_s))
        self.kill()

    async def question_counts(self, at_least: int = 0) -> Counter[str]:
        """Return how often each text was asked, once so many requests have come."""
        url = f"{self.address}/asked?at_least={at_least}"
        async with self.session.get(url) as response:
            return Counter(await response.json())

    # ------------------------------------------------------------ what must hold

    async def check(self, kills: int) -> None:
        """Check what holds whatever was killed: results kept, calls sent again, nothing pending."""
        assert self.kills >= kills
        lost = [file for file in self.saved if not await anyio.Path(file).exists()]
        assert lost == []
        asked = await self.question_counts()
        assert asked.total() - len(asked) <= AT_ONCE * self.kills
        async with self.store() as store:
            assert await store.unreadable() == []
            assert await store.duplicates() == []
        pending = self.project / ".trash" / "pending"
        left = [file.name for file in pending.glob("*")]
        assert left == []

    @asynccontextmanager
    async def store(self) -> AsyncGenerator[ProjectStore]:
        """Open the project from another home."""
        home = self.home.with_name("other home")
        async with await ProjectStore.open(self.project, home=home) as store:
            yield store

    async def outputs(self) -> list[str]:
        """Return the inputs of the outputs that evals made, with their run config."""
        async with self.store() as store:
            (task,) = await store.children(store.project, Task)
            runs = await store.children(task, TaskRun)
        return [
            f"{run.input} {run.output.source.run_config_id}"
            for run in runs
            if run.eval_source and run.output.source
        ]

    async def verdicts(self) -> list[str]:
        """Return what each verdict is about."""
        async with self.store() as store:
            (task,) = await store.children(store.project, Task)
            return [
                f"{verdict.dataset_id} {verdict.task_run_config_id}"
                for measured in await store.children(task, Eval)
                for judge in await store.children(measured, EvalConfig)
                for verdict in await store.children(judge, EvalRun)
            ]


def client_of(server: StdioServerParameters) -> Client:
    """Return a client whose person agrees to everything."""
    return Client(server, mode="legacy", elicitation_callback=agree)


async def make_project(folder: Path, parts: Mapping[str, range]) -> None:
    """Make a project whose task doubles numbers, with its items by tag."""
    async with await ProjectStore.create(folder, Project(name="Killed")) as store:
        task = await store.save(Task(name="Double", instruction="Do it."), parent=store.project)
        person = DataSource(type="human", properties={"created_by": "ann"})
        async with store.transaction() as change:
            for tag, numbers in parts.items():
                for number in numbers:
                    output = TaskOutput(output=str(2 * number), source=person)
                    run = TaskRun(
                        input=str(number), input_source=person, output=output, tags=(tag,)
                    )
                    change.save(run, parent=task)


@asynccontextmanager
async def open_process_bench(folder: Path, **parts: range) -> AsyncGenerator[Bench]:
    """Open a bench whose task doubles numbers, with its items by tag, and an evaluator of them."""
    await make_project(folder / "project", parts)
    async with open_kill_bench(folder) as bench:
        await _set_up(bench, {f"{part}_filter": f"tag::{part}" for part in parts})
        yield bench


@asynccontextmanager
async def open_kill_bench(
    folder: Path, answers: Mapping[str, object] | None = None
) -> AsyncGenerator[Bench]:
    """Open a bench on the project that lies in the folder.

    Args:
        folder: Where `project` lies.
        answers: What the model says by the first property of the schema that it is asked by.
    """
    home, project = folder / "home", folder / "project"
    home.mkdir()
    command = [sys.executable, str(SERVER), json.dumps(answers or {})]
    async with await anyio.open_process(command) as server:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{int(await server.stdout.receive())}"
        known = {"name": "loop", "base_url": f"{address}/v1", "concurrency": AT_ONCE, **FREE}
        (home / "servers.json").write_text(json.dumps([known]), encoding="utf-8")
        environment = {
            **os.environ,
            "KILN_MCP_HOME": str(home),
            "KILN_MCP_MODEL": "loop/tiny",
            "PYTHONPATH": str(ROOT),
        }
        stdio = StdioServerParameters(command=sys.executable, args=["-c", BRIDGE], env=environment)
        seed = random.randrange(10**6)
        sys.stdout.write(f"seed {seed}\n")
        try:
            async with aiohttp.ClientSession() as session, client_of(stdio) as client:
                chance = random.Random(seed)
                bench = Bench(client, home, project, address, environment, session, chance)
                try:
                    yield bench
                finally:
                    bench.kill()
        finally:
            server.kill()


async def _set_up(bench: Bench, filters: Mapping[str, str]) -> None:
    project = str(bench.project)
    exact = {"type": "exact_match", "reference_key": "reference_answer"}
    made = {"project": project, "eval": "Right", **exact, **filters}
    config = {"name": "start", "prompt": "Answer.", "model": "loop/tiny"}
    await bench.insist("create_evaluator", **made)
    await bench.insist("create_run_config", project=project, **config)
