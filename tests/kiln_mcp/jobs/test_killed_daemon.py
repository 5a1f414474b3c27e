"""The daemon, killed again and again while a job runs, as a client of the bridge sees it."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import anyio
import mcp_types as types
import pytest
from anyio.abc import Process
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.context import ClientRequestContext

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

BRIDGE = "import sys; from kiln_mcp.doors.bridge import main; sys.exit(main())"
COMMAND = ("run-eval", "--project", ".", "--eval", "Right")
ROOT = Path(__file__).parents[3]
WAIT_S = 1.0
DAY_S = 86_400
AT_ONCE = 16
"""How many calls are in flight together."""
LOST_AT_A_KILL = 2 * AT_ONCE
"""Calls that a kill may cost: those in flight, and as many answers on their way to the cache."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class CountingServer(Protocol):
    """The model's server, as conftest.py makes it."""

    questions: list[str]
    address: str
    latency_s: float

    async def until_asked(self, count: int) -> None: ...


class SettableClock(Protocol):
    """The daemon's clock, as conftest.py makes it."""

    environment: dict[str, str]

    def jump(self, seconds: int) -> None: ...


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

    async def start(self, **limit: float) -> str:
        started = await self.call(
            "run_eval", project=str(self.project), eval="Right", limit=limit, wait_s=0
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
            report = await self.call("wait_for_job", job=job, seconds=WAIT_S)
            if report["state"] not in {"waiting", "running", "cancelling", "pausing"}:
                return report

    async def call_in_vain(self, tool: str, job: str, **arguments: object) -> None:
        """Call a tool whose answer may be lost with the daemon."""
        with suppress(MCPError):
            await self.call(tool, job=job, **arguments)

    async def until(self, job: str, states: set[str]) -> None:
        while (await self.call("wait_for_job", job=job, seconds=0))["state"] not in states:
            pass

    async def kill_when_asked(self, moments: Sequence[int]) -> None:
        for moment in moments:
            await self.server.until_asked(moment)
            self.kill()

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
    for elapsed_s in await store.children(task, Eval):
        for judge in await store.children(elapsed_s, EvalConfig):
            for verdict in await store.children(judge, EvalRun):
                yield str(verdict.dataset_id)


async def agree(
    context: ClientRequestContext, params: types.ElicitRequestParams
) -> types.ElicitResult:
    """Answer as a person who agrees to everything."""
    return types.ElicitResult(action="accept", content={"agree": True})


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
        await bench.call("create_evaluator", project=str(project), eval="Right", evaluator=exact)
        await bench.call(
            "create_run_config",
            project=str(project),
            run_config={"name": "only", "prompt": "Answer.", "model": "loop/tiny"},
        )
        try:
            yield bench
        finally:
            bench.kill()


async def test_a_job_of_2000_calls_survives_a_daemon_that_is_killed_again_and_again(
    tmp_path: Path, counting: CountingServer
) -> None:
    items, seed = 2000, random.randrange(10**6)
    chance = random.Random(seed)
    async with open_daemon_bench(tmp_path, counting, items) as bench:
        job = await bench.start()

        async def kill_at_random() -> None:
            for moment in sorted(chance.sample(range(50, items - 100), 6)):
                await counting.until_asked(moment)
                # Not always right after a request has come.
                await anyio.sleep(chance.uniform(0, 0.05))
                bench.kill()

        with anyio.fail_after(240):
            async with anyio.create_task_group() as group:
                group.start_soon(kill_at_random)
                final = await bench.at_rest(job)
                assert final["state"] == "done", (seed, final)
        assert bench.kills == 6
        created, verdicts = await bench.results()
    expected = [say(number) for number in range(items)]
    assert sorted(created) == expected
    assert len(verdicts) == len(set(verdicts)) == items
    assert bench.paid_twice == [], seed
    # What was on its way at a kill is not known to have been answered, and is sent again.
    assert set(counting.questions) == set(expected)
    assert len(counting.questions) - items <= LOST_AT_A_KILL * bench.kills, seed


async def test_a_command_and_a_client_that_want_the_same_at_once_pay_for_it_once(
    tmp_path: Path, counting: CountingServer
) -> None:
    items = 200
    async with open_daemon_bench(tmp_path, counting, items) as bench:
        with anyio.fail_after(120):
            async with await bench.command(*COMMAND, "--json") as command:
                await counting.until_asked(20)
                job = await bench.start()
                answer = b"".join([part async for part in command.stdout or ()])
            assert command.returncode == 0
            assert json.loads(answer)["items"] == items
            assert (await bench.at_rest(job))["state"] == "done"
        created, verdicts = await bench.results()
    assert sorted(created) == [say(number) for number in range(items)]
    assert len(verdicts) == len(set(verdicts)) == items
    assert len(counting.questions) == len(set(counting.questions)) == items


async def test_ctrl_c_pauses_what_a_command_began_and_a_killed_command_does_not(
    tmp_path: Path, counting: CountingServer
) -> None:
    items = 1500
    async with open_daemon_bench(tmp_path, counting, items) as bench:
        with anyio.fail_after(120):
            async with await bench.command(*COMMAND) as command:
                sentence = ""
                is_interrupted = False
                async for part in command.stderr or ():
                    sentence += part.decode()
                    if not is_interrupted and "Ctrl-C pauses it" in sentence:
                        is_interrupted = True
                        command.send_signal(signal.SIGINT)
            assert command.returncode == 130, sentence
            [job] = [entry["job"] for entry in (await bench.call("list_jobs"))["jobs"]]
            assert f"kiln-mcp resume-job --job {job} continues it." in sentence
            assert (await bench.at_rest(job))["state"] == "paused"
            assert len(counting.questions) < items
            requests = len(counting.questions)
            async with await bench.command(*COMMAND) as command:
                await counting.until_asked(requests + 20)
                command.kill()
            [job, _] = [entry["job"] for entry in (await bench.call("list_jobs"))["jobs"]]
            assert (await bench.at_rest(job))["state"] == "done"
    assert len(counting.questions) == len(set(counting.questions)) == items


@pytest.mark.parametrize(("pause", "state"), [(False, "cancelled"), (True, "paused")])
async def test_a_wish_to_stop_is_kept_when_the_daemon_is_killed_right_after_it(
    tmp_path: Path, counting: CountingServer, pause: bool, state: str
) -> None:
    items = 300
    async with open_daemon_bench(tmp_path, counting, items) as bench:
        job = await bench.start()
        with anyio.fail_after(120):
            await counting.until_asked(100)
            async with anyio.create_task_group() as group:
                group.start_soon(partial(bench.call_in_vain, "cancel_job", job, pause=pause))
                await bench.until(job, {state, "cancelling", "pausing"})
                bench.kill()
            assert (await bench.at_rest(job))["state"] == state
            requests = len(counting.questions)
            assert requests < items
            bench.note()
            await bench.call("resume_job", job=job)
            bench.kill()
            assert (await bench.at_rest(job))["state"] == "done"
        created, verdicts = await bench.results()
    assert sorted(created) == [say(number) for number in range(items)]
    assert len(verdicts) == len(set(verdicts)) == items
    assert bench.paid_twice == []
    assert len(counting.questions) - items <= LOST_AT_A_KILL * bench.kills


async def test_a_limit_is_kept_by_all_attempts_of_a_killed_job_together(
    tmp_path: Path, counting: CountingServer
) -> None:
    items, limit = 300, 200
    async with open_daemon_bench(tmp_path, counting, items) as bench:
        job = await bench.start(calls=limit)
        with anyio.fail_after(120):
            async with anyio.create_task_group() as group:
                group.start_soon(bench.kill_when_asked, [60, 120])
                report = await bench.at_rest(job)
                assert report["state"] == "stopped"
                assert "200 of 200 calls are made" in report["error"]
            assert bench.kills == 2
            # What was on its way at a kill counts as made: the server saw no more than allowed.
            assert limit - LOST_AT_A_KILL * bench.kills <= len(counting.questions) <= limit
            created, _ = await bench.results()
            assert len(created) == len(set(created)) <= limit
            bench.note()
            await bench.call("resume_job", job=job, limit={"calls": 2 * items})
            final = await bench.at_rest(job)
            assert final["state"] == "done", final
        created, verdicts = await bench.results()
    assert sorted(created) == [say(number) for number in range(items)]
    assert len(verdicts) == len(set(verdicts)) == items
    assert bench.paid_twice == []


async def test_a_clock_that_is_set_changes_nothing_but_the_times_that_are_shown(
    tmp_path: Path, counting: CountingServer, clock: SettableClock
) -> None:
    items = 600
    async with open_daemon_bench(tmp_path, counting, items, **clock.environment) as bench:
        job = await bench.start(seconds=100)

        async def set_the_clock() -> None:
            for moment, jump in ((100, DAY_S), (200, -DAY_S), (300, 400 * DAY_S), (400, 0)):
                await counting.until_asked(moment)
                clock.jump(jump)
                if moment == 300:
                    bench.kill()

        with anyio.fail_after(120):
            async with anyio.create_task_group() as group:
                group.start_soon(set_the_clock)
                final = await bench.at_rest(job)
                assert final["state"] == "done", final
        created, verdicts = await bench.results()
    assert sorted(created) == [say(number) for number in range(items)]
    assert len(verdicts) == len(set(verdicts)) == items
    assert bench.paid_twice == []
    assert len(counting.questions) - items <= LOST_AT_A_KILL


async def test_a_time_limit_is_true_though_the_clock_goes_back(
    tmp_path: Path, counting: CountingServer, clock: SettableClock
) -> None:
    items = 400
    counting.latency_s = 0.5
    async with open_daemon_bench(tmp_path, counting, items, **clock.environment) as bench:
        started = anyio.current_time()
        job = await bench.start(seconds=4)
        with anyio.fail_after(60):
            await counting.until_asked(30)
            clock.jump(-DAY_S)
            report = await bench.at_rest(job)
        took = anyio.current_time() - started
    assert report["state"] == "stopped", report
    assert "the 4 s are over" in report["error"]
    assert 4 <= took < 30  # a day if it were the clock's; a busy machine takes a while to end
    assert len(counting.questions) < items


async def test_a_job_is_stopped_paused_and_killed_again_and_again_and_still_has_every_result_once(
    tmp_path: Path, counting: CountingServer
) -> None:
    items, seed = 1000, random.randrange(10**6)
    chance = random.Random(seed)
    async with open_daemon_bench(tmp_path, counting, items) as bench:
        job = await bench.start()
        moments = sorted(chance.sample(range(50, items - 150), 6))
        with anyio.fail_after(200):
            for number, moment in enumerate(moments):
                await counting.until_asked(moment)
                await bench.call("cancel_job", job=job, pause=number % 2 == 0)
                if chance.random() < 0.5:
                    bench.kill()
                paused_job = await bench.at_rest(job)
                assert paused_job["state"] in {"paused", "cancelled"}, (seed, paused_job)
                bench.note()
                await bench.call("resume_job", job=job)
                if chance.random() < 0.5:
                    bench.kill()
                    await bench.until(job, {"waiting", "running"})  # begins the next daemon
            last = await bench.at_rest(job)
            assert last["state"] == "done", (seed, last)
        created, verdicts = await bench.results()
    assert sorted(created) == [say(number) for number in range(items)]
    assert len(verdicts) == len(set(verdicts)) == items
    assert bench.paid_twice == [], seed
    # A pause waits for its answers; a cancelled job and a killed process lose them.
    assert len(counting.questions) - items <= LOST_AT_A_KILL * (bench.kills + 3), seed


async def test_commands_beside_the_daemon_hand_jobs_in_and_do_none(
    tmp_path: Path, counting: CountingServer
) -> None:
    counting.latency_s = 2.0
    async with open_daemon_bench(tmp_path, counting, items=120) as bench:
        environment = {**os.environ, "KILN_MCP_HOME": str(bench.home), "PYTHONPATH": str(ROOT)}

        async def command(*arguments: str) -> Mapping[str, Any]:
            program = [sys.executable, "-c", BRIDGE, *arguments, "--json"]
            final = await anyio.run_process(program, env=environment)
            return json.loads(final.stdout)

        first = await bench.start(calls=5)  # the daemon is at work
        await bench.at_rest(first)
        started = await command(
            "run-eval", "--project", str(bench.project), "--eval", "Right",
            "--limit", '{"calls": 90}', "--wait-s", "0",
        )  # fmt: skip
        for _ in range(3):
            await command("wait-for-job", "--job", str(started["job"]), "--seconds", "1")
        final = await bench.at_rest(str(started["job"]))
        assert (final["state"], final["calls"], final.get("lost_calls")) == ("stopped", 90, None)
        assert len(counting.questions) == 95
