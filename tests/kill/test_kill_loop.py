"""The daemon is killed many times while all that saves is at work; nothing is lost or doubled.

KILN_MCP_KILLS sets how many kills there are in all; each test has its share of them.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from bridge_client import BRIDGE
from kill_bench import AT_ONCE, Bench, open_process_bench
from storage import (
    Eval,
    ProjectStore,
    Prompt,
    PromptOptimizationJob,
    Task,
    TaskOutput,
    TaskRun,
    TaskRunConfig,
)
from storage.collaboration.sync import Sharing, fetch_project

KILLS = int(os.environ.get("KILN_MCP_KILLS", "216"))

SEARCH_KILLS, FINAL_KILLS, SAVE_KILLS = 4, 8, 4
"""Kills at decided requests of the search and of the final measurement, and more while the winner
is saved, as far as these come in time."""
SEARCH_STEP, FINAL_STEP = 20, 10
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
        assert (await bench.question_counts()).total() <= limit * len(jobs)
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


async def kill_in_stage(bench: Bench, count: Callable[[], int], step: int) -> None:
    """Kill the daemon some times, each time after something has grown by a step."""
    seen = await anyio.to_thread.run_sync(count)
    for _ in range(SAVE_KILLS):
        while await anyio.to_thread.run_sync(count) < seen + step:  # noqa: ASYNC110 - files
            await anyio.sleep(PAUSE_S)
        kills = bench.kills
        while bench.kills == kills:
            bench.kill()
            await anyio.sleep(PAUSE_S)
        seen = await anyio.to_thread.run_sync(count)


async def kill_everywhere(bench: Bench) -> None:
    await bench.kill_at_gates("low", SEARCH_KILLS, SEARCH_STEP)
    await bench.kill_at_gates("high", FINAL_KILLS, FINAL_STEP)
    # From here on the winner's records and the outputs of the held-out items are saved.
    await kill_in_stage(bench, lambda: saved_records(bench.project), 6)


def saved_records(folder: Path) -> int:
    """Return how many runs are saved; a file that vanishes meanwhile is no error."""
    names = (name for _, _, own in os.walk(folder) for name in own)
    return sum(name.endswith("_run.kiln") for name in names)


async def test_twelve_kills_pay_nothing_twice_and_leave_one_winner(tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    async with open_process_bench(undisturbed, **SEARCH_PARTS) as bench:
        job = await bench.start("improve_prompt", {}, **SEARCH_CALL)
        ended = await bench.at_rest(job)
        assert ended["state"] == "done", ended
        expected = await prompts_of(bench)
        calls = (await bench.question_counts()).total()
    async with open_process_bench(tmp_path, **SEARCH_PARTS) as bench:
        await bench.set_gate("low", SEARCH_STEP)
        await bench.set_gate("high", FINAL_STEP)
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
        asked = await bench.question_counts()
        assert asked.total() <= calls + AT_ONCE * bench.kills
        await bench.check(SEARCH_KILLS + FINAL_KILLS)
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
