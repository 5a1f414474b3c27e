"""The daemon is killed many times while all that saves is at work; nothing is lost or doubled.

KILN_MCP_KILLS sets how many kills there are in all; each test has its share of them.
"""

import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from mcp import Client, MCPError, StdioServerParameters

from bridge_client import BRIDGE, agree
from storage import (
    DataSource,
    Eval,
    EvalConfig,
    EvalRun,
    Project,
    ProjectStore,
    Prompt,
    PromptOptimizationJob,
    Task,
    TaskOutput,
    TaskRun,
    TaskRunConfig,
)
from storage.collaboration.sync import Sharing, fetch_project

ROOT = Path(__file__).parents[2]
SERVER = Path(__file__).with_name("model_server.py")
KILLS = int(os.environ.get("KILN_MCP_KILLS", "216"))
AT_ONCE = 16
"""How many calls of a model may be on their way at a kill."""
WAIT_S = 1.0
FREE = {"input_usd_per_million": 0, "output_usd_per_million": 0}
REPEATED = 20
"""Calls in a row whose answers may be lost before a test gives up."""

STAGE_KILLS = 4
"""Kills in the search, in the final measurement, and while the winner is saved."""
SEARCH_PARTS = {"train": range(12), "val": range(100, 148), "test": range(200, 260)}
SEARCH_CALL = {
    "eval": "Right",
    "start": "start",
    "max_calls": 400,
    "reflect_with": "embedded",
    "seed": 3,
}
PAUSE_S = 0.01

pytestmark = [pytest.mark.kill, pytest.mark.timeout(300 + 8 * KILLS)]


def share(part: float) -> int:
    """Return how many of all kills a test has."""
    return max(2, round(KILLS * part))


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
        self.saved |= {str(file) for file in self.project.rglob("*_run.kiln")}

    async def kill_while_asking(self, kills: int, longest_step: int) -> None:
        """Kill the daemon many times, each time after some more requests."""
        asked = (await self.asked()).total()
        for _ in range(kills):
            await self.asked(asked + self.chance.randrange(1, longest_step))
            await anyio.sleep(self.chance.uniform(0, 0.03))
            self.kill()
            asked = (await self.asked()).total()

    async def kill_soon(self, longest_s: float) -> None:
        """Kill the daemon at a random moment."""
        await anyio.sleep(self.chance.uniform(0, longest_s))
        self.kill()

    async def asked(self, at_least: int = 0) -> Counter[str]:
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
        asked = await self.asked()
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
    home, project = folder / "home", folder / "project"
    home.mkdir()
    await make_project(project, parts)
    command = [sys.executable, str(SERVER)]
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
                await _set_up(bench, {f"{part}_filter": f"tag::{part}" for part in parts})
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


async def test_run_eval_scores_every_item_once(tmp_path: Path) -> None:
    kills, step = share(0.28), 30
    items = range(kills * step)
    async with open_process_bench(tmp_path, test=items) as bench:
        job = await bench.start("run_eval", {}, eval="Right")
        async with anyio.create_task_group() as group:
            group.start_soon(bench.kill_while_asking, kills, step)
            final = await bench.at_rest(job)
            assert final["state"] == "done", final
            group.cancel_scope.cancel()
        outputs, verdicts = await bench.outputs(), await bench.verdicts()
        assert len(outputs) == len(set(outputs)) == len(items)
        assert len(verdicts) == len(set(verdicts)) == len(items)
        await bench.check(kills)


async def test_a_command_that_is_begun_again_after_each_kill_keeps_its_limit(
    tmp_path: Path,
) -> None:
    kills, step = share(0.1), 12
    limit = kills * (step + AT_ONCE)  # a kill costs the calls that are in flight, too
    jobs: list[str] = []
    async with open_process_bench(tmp_path, test=range(2 * limit)) as bench:
        command = [
            sys.executable, "-c", BRIDGE, "run-eval", "--project", str(bench.project),
            "--eval", "Right", "--limit-calls", str(limit), "--wait-s", "0", "--json",
        ]  # fmt: skip
        async with anyio.create_task_group() as group:
            group.start_soon(bench.kill_while_asking, kills, step)
            done = await anyio.run_process(command, env=bench.environment)
            jobs.append(str(json.loads(done.stdout)["job"]))
            while bench.kills < kills - 2:  # what is under way is not begun a second time
                again = await anyio.run_process(command, env=bench.environment)
                job = str(json.loads(again.stdout)["job"])
                if job != jobs[-1]:
                    before = await bench.insist("check_job", job=jobs[-1], seconds=0)
                    assert before["state"] == "set aside"
                    jobs.append(job)
            assert (await bench.at_rest(jobs[-1]))["state"] == "stopped"
            group.cancel_scope.cancel()
        assert (await bench.asked()).total() <= limit * len(jobs)
        outputs = await bench.outputs()
        assert len(outputs) == len(set(outputs)) >= limit - AT_ONCE * bench.kills
        await bench.check(kills)


async def test_generate_data_saves_every_item_once(tmp_path: Path) -> None:
    kills, step = share(0.14), 30
    given = [f"question {number}" for number in range(kills * step)]
    async with open_process_bench(tmp_path, test=range(2)) as bench:
        job = await bench.start("generate_data", {}, inputs=given)
        async with anyio.create_task_group() as group:
            group.start_soon(bench.kill_while_asking, kills, step)
            ended = await bench.at_rest(job)
            assert ended["state"] == "done", ended
            group.cancel_scope.cancel()
        async with bench.store() as store:
            (task,) = await store.children(store.project, Task)
            inputs = [run.input for run in await store.children(task, TaskRun)]
        assert sorted(inputs) == sorted([*given, "0", "1"])
        await bench.check(kills)


async def test_evolve_prompt_saves_one_winner_and_measures_it_once(tmp_path: Path) -> None:
    kills = share(0.14)
    parts = {"train": range(12), "val": range(100, 148), "test": range(200, 260)}
    async with open_process_bench(tmp_path, **parts) as bench:
        call = {"eval": "Right", "start": "start", "max_calls": 600, "reflect_with": "embedded"}
        job = await bench.start("improve_prompt", {}, **call)
        async with anyio.create_task_group() as group:
            group.start_soon(bench.kill_while_asking, kills, 20)
            ended = await bench.at_rest(job)
            assert ended["state"] == "done", ended
            group.cancel_scope.cancel()
        async with bench.store() as store:
            (task,) = await store.children(store.project, Task)
            configs = await store.children(task, TaskRunConfig)
            prompts = await store.children(task, Prompt)
        assert (len(configs), len(prompts)) == (2, 1)
        verdicts = await bench.verdicts()
        assert len(verdicts) == len(set(verdicts)) == 2 * len(parts["test"])
        await bench.check(kills)


async def prompts_of(bench: Bench) -> list[str]:
    """Return the prompts of all run configs."""
    async with bench.store() as store:
        (task,) = await store.children(store.project, Task)
        configs = await store.children(task, TaskRunConfig)
        assert len(await store.children(task, PromptOptimizationJob)) == 1
    return [config.prompt.prompt for config in configs if config.prompt]


def log_lines(bench: Bench, kind: str) -> int:
    """Return how many events of a kind the log has by which the search goes on."""
    texts = [path.read_text("utf-8") for path in (bench.home / "searches").glob("*.jsonl")]
    return sum(f'"event": "{kind}"' in line for text in texts for line in text.splitlines())


async def kill_in_stage(bench: Bench, count: Callable[[], int], step: int) -> None:
    """Kill the daemon four times, each time after something has grown by a step."""
    seen = await anyio.to_thread.run_sync(count)
    for _ in range(STAGE_KILLS):
        while await anyio.to_thread.run_sync(count) < seen + step:  # noqa: ASYNC110 - files
            await anyio.sleep(PAUSE_S)
        kills = bench.kills
        while bench.kills == kills:
            bench.kill()
            await anyio.sleep(PAUSE_S)
        seen = await anyio.to_thread.run_sync(count)


async def kill_everywhere(bench: Bench) -> None:
    await kill_in_stage(bench, lambda: log_lines(bench, "evaluation"), 20)
    await kill_in_stage(bench, lambda: log_lines(bench, "final"), 12)
    # From here on the winner's records and the outputs of the held-out items are saved.
    await kill_in_stage(bench, lambda: len([*bench.project.rglob("*_run.kiln")]), 6)


async def test_twelve_kills_pay_nothing_twice_and_leave_one_winner(tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    async with open_process_bench(undisturbed, **SEARCH_PARTS) as bench:
        job = await bench.start("improve_prompt", {}, **SEARCH_CALL)
        ended = await bench.at_rest(job)
        assert ended["state"] == "done", ended
        expected = await prompts_of(bench)
        calls = (await bench.asked()).total()
    async with open_process_bench(tmp_path, **SEARCH_PARTS) as bench:
        job = await bench.start("improve_prompt", {}, **SEARCH_CALL)
        async with anyio.create_task_group() as group:
            group.start_soon(kill_everywhere, bench)
            ended = await bench.at_rest(job)
            assert ended["state"] == "done", ended
            group.cancel_scope.cancel()
        assert await prompts_of(bench) == expected
        assert len(expected) == 2
        verdicts = await bench.verdicts()
        assert len(verdicts) == len(set(verdicts)) == 2 * len(SEARCH_PARTS["test"])
        asked = await bench.asked()
        assert asked.total() <= calls + AT_ONCE * bench.kills
        await bench.check(2 * STAGE_KILLS)
        side_files = [*bench.project.rglob("kiln_mcp_evolution_*.jsonl")]
        texts = [await anyio.Path(path).read_text("utf-8") for path in side_files]
        ends = [line for text in texts for line in map(json.loads, text.splitlines())]
        assert sum(line["event"] == "result" for line in ends) == 1


async def test_data_of_a_file_is_added_once(tmp_path: Path) -> None:
    rows, kills = 400, share(0.1)
    table = tmp_path / "rows.csv"
    table.write_text(
        "input,output\n" + "".join(f"row {n},answer {n}\n" for n in range(rows)), encoding="utf-8"
    )
    async with open_process_bench(tmp_path, test=range(2)) as bench:
        for number in range(kills):
            call = {"project": str(bench.project), "file": str(table), "tags": [f"t{number % 3}"]}
            async with anyio.create_task_group() as group:
                group.start_soon(bench.kill_soon, 0.5)
                await bench.call("add_data", **call)
            await bench.insist("add_data", **call)
        async with bench.store() as store:
            (task,) = await store.children(store.project, Task)
            imported = Counter(run.input for run in await store.children(task, TaskRun))
        assert {imported[f"row {n}"] for n in range(rows)} == {1}
        await bench.check(kills)


async def test_every_label_that_was_acknowledged_is_kept_once(tmp_path: Path) -> None:
    kills, each = share(0.12), 4
    acknowledged: Counter[str] = Counter()
    lost: set[str] = set()
    async with open_process_bench(
        tmp_path, test=range(2), golden=range(10, 10 + kills * each)
    ) as bench:
        async with bench.store() as store:
            (task,) = await store.children(store.project, Task)
            golden = [r.id for r in await store.children(task, TaskRun) if "golden" in r.tags]
        for begin in range(0, len(golden), each):
            items = golden[begin : begin + each]
            labels = [{"item": item, "label": "pass"} for item in items]
            call = {"project": str(bench.project), "eval": "Right", "labels": labels}
            async with anyio.create_task_group() as group:
                group.start_soon(bench.kill_soon, 0.3)
                if await bench.call("label_items", **call, rater="ann") is None:
                    lost.update(items)
                else:
                    acknowledged.update(items)
            await bench.insist("check_job")  # begins the next daemon
        async with bench.store() as store:
            (task,) = await store.children(store.project, Task)
            (measured,) = await store.children(task, Eval)
            rated = {r.id for r in await store.children(task, TaskRun) if r.output.rating}
            folder = store.side_folder(measured)
        text = await anyio.Path(folder / "kiln_mcp_labels.jsonl").read_text(encoding="utf-8")
        kept = Counter(str(json.loads(line)["item"]) for line in text.splitlines())
        assert {item: kept[item] for item in acknowledged} == dict(acknowledged)
        # Of calls whose answer was lost, all is kept or nothing; a rating has its label.
        assert all(kept[item] <= 1 for item in lost)
        assert rated == set(kept)
        await bench.check(kills)


async def test_sync_project_loses_no_run_and_doubles_none(tmp_path: Path) -> None:
    remote, kills = tmp_path / "remote.git", share(0.12)
    await anyio.run_process(["git", "init", "--quiet", "--bare", str(remote)])
    async with open_process_bench(tmp_path, test=range(2)) as bench:
        project = str(bench.project)
        await bench.insist("sync_project", project=project, remote=str(remote))
        await bench.insist("sync_project", project=project)
        other = tmp_path / "other"
        await fetch_project(str(remote), other)
        async with await ProjectStore.open(other, home=tmp_path / "others home") as theirs:
            for number in range(kills):
                await _add_run(theirs, f"theirs {number}")
                await Sharing(theirs).sync()
                async with bench.store() as ours:
                    await _add_run(ours, f"ours {number}")
                async with anyio.create_task_group() as group:
                    group.start_soon(bench.kill_soon, 1.0)
                    await bench.call("sync_project", project=project)
                await bench.insist("sync_project", project=project)
            await Sharing(theirs).sync()
            (task,) = await theirs.children(theirs.project, Task)
            inputs = Counter(run.input for run in await theirs.children(task, TaskRun))
        expected = [f"{who} {number}" for who in ("ours", "theirs") for number in range(kills)]
        assert inputs == Counter(["0", "1", *expected])
        async with bench.store() as ours:
            (task,) = await ours.children(ours.project, Task)
            assert Counter(run.input for run in await ours.children(task, TaskRun)) == inputs
        await bench.check(kills)


async def _add_run(store: ProjectStore, text: str) -> None:
    (task,) = await store.children(store.project, Task)
    run = TaskRun(input=text, output=TaskOutput(output="x" * 2000))
    await store.save(run, parent=task)
