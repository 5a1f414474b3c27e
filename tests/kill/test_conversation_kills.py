"""Conversations of a plan whose daemon or command is killed between turns go on, each turn once."""

import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from pydantic import JsonValue

from bridge_client import BRIDGE
from kill_bench import Bench, open_kill_bench
from kiln_mcp.datasets.items import data_set
from storage import Project, ProjectStore, Task, TaskRun

pytestmark = [pytest.mark.kill, pytest.mark.timeout(600)]

CASES: Final[list[JsonValue]] = [
    {"input": f"Hello from case {name}", "goal": f"Goal {name}.", "persona": f"Person {name}."}
    for name in "abcdefgh"
]
TURNS: Final = 4
CALLS: Final = len(CASES) * (TURNS + TURNS - 1)
KILLS: Final = 6
STEP: Final = 8
"""Answers between two kills: fewer than there are conversations, so each kill is amid some."""


async def make_project(folder: Path) -> None:
    """Make a project with a task of several turns."""
    async with await ProjectStore.create(folder, Project(name="Killed")) as store:
        task = Task.model_validate(
            {"name": "Reply", "instruction": "Answer the customer.", "turn_mode": "multiturn"}
        )
        await store.save(task, parent=store.project)


async def new_plan(bench: Bench) -> str:
    """Plan the conversations of all cases and return the plan's id."""
    settings: dict[str, JsonValue] = {"inputs": CASES, "turns": TURNS, "user_model": "loop/tiny"}
    plan = await bench.insist("generate_data", project=str(bench.project), plan=settings)
    assert plan["calls"] == CALLS
    return str(plan["id"])


async def check_conversations(bench: Bench) -> None:
    """Check that every case is one whole conversation, and that its runs form one chain."""
    async with bench.store() as store:
        (task,) = await store.children(store.project, Task)
        runs = {run.id: run for run in await store.children(task, TaskRun)}
    items = data_set(list(runs.values()))
    assert sorted(item.user_turns[0] for item in items) == [
        f"Hello from case {name}" for name in "abcdefgh"
    ]
    assert len(runs) == len(CASES) * TURNS
    for item in items:
        chain = [item]
        while (previous := chain[0].parent_task_run_id) is not None:
            chain.insert(0, runs[previous])
        assert tuple(run.input for run in chain) == item.user_turns
        assert len(chain) == TURNS


async def check_calls(bench: Bench) -> None:
    """Check that all questions were asked, and that only those in flight at a kill came again."""
    asked = await bench.question_counts()
    assert len(asked) == CALLS
    again = Counter({text: count - 1 for text, count in asked.items() if count > 1})
    assert again.total() <= len(CASES) * bench.kills


async def ended(bench: Bench, job: str, kills: int) -> Mapping[str, Any]:
    """Follow a job to its end while the daemon is killed so often, and return its report."""
    reports: list[Mapping[str, Any]] = []

    async def follow() -> None:
        reports.append(await bench.at_rest(job))

    async with anyio.create_task_group() as group:
        group.start_soon(bench.kill_at_gates, "low", kills, STEP)
        group.start_soon(follow)
    (report,) = reports
    return report


async def test_a_daemon_killed_between_turns_holds_each_turn_once(tmp_path: Path) -> None:
    await make_project(tmp_path / "project")
    async with open_kill_bench(tmp_path) as bench:
        plan = await new_plan(bench)
        await bench.set_gate("low", STEP)
        job = await bench.start("generate_data", {}, plan=plan)
        report = await ended(bench, job, KILLS)
        assert report["state"] == "done", report
        assert bench.kills == KILLS
        await check_conversations(bench)
        await check_calls(bench)
        await bench.check(KILLS)


async def test_a_command_killed_between_turns_is_gone_on_with_by_another_door(
    tmp_path: Path,
) -> None:
    await make_project(tmp_path / "project")
    async with open_kill_bench(tmp_path) as bench:
        plan = await new_plan(bench)
        await bench.set_gate("low", STEP)
        options = ["--project", str(bench.project), "--plan", plan, "--wait-s", "60", "--yes"]
        command = [sys.executable, "-c", BRIDGE, "generate-data", "--json", *options]
        async with await anyio.open_process(command, env=bench.environment) as process:
            async with bench.session.get(f"{bench.address}/held?part=low") as response:
                held = int(await response.text())
            process.send_signal(signal.SIGKILL)
            bench.kill()
        await bench.set_gate("low", held + STEP)
        (job,) = (await bench.insist("check_job", seconds=0))["jobs"]
        report = await ended(bench, str(job["job"]), 1)
        assert report["state"] == "done", report
        assert report["result"]["stops"] == {"turns": len(CASES)}
        await check_conversations(bench)
        await check_calls(bench)
