"""Several real processes on one project, some of them killed at any moment."""

import asyncio
import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage import Project, ProjectStore, Task, TaskRun
from storage.index.queries import RunQuery

_WORKER = """
import asyncio, sys
from pathlib import Path
from storage import ProjectStore, Task, TaskOutput, TaskRun

async def work(folder, home, name):
    async with await ProjectStore.open(Path(folder), home=Path(home)) as store:
        (task,) = await store.children(store.project, Task)
        number = 0
        while True:
            number += 1
            pair = [
                TaskRun(input=f"{name}-{number}-{half}", output=TaskOutput(output="x" * 3000))
                for half in "ab"
            ]
            async with store.transaction() as change:
                for run in pair:
                    change.save(run, task)
            print(f"{name}-{number}", flush=True)

asyncio.run(work(*sys.argv[1:]))
"""
_COUNTER = """
import asyncio, sys
from pathlib import Path
from storage import ProjectStore, Task
from storage.errors import StaleRevision

async def work(folder, home, times):
    done = refused = 0
    async with await ProjectStore.open(Path(folder), home=Path(home)) as store:
        while done < int(times):
            (task,) = await store.children(store.project, Task)
            try:
                count = int(task.instruction) + 1
                await store.save(task.replace(instruction=str(count)))
                done += 1
            except StaleRevision as error:
                assert error.when is not None
                refused += 1
    print(refused)

asyncio.run(work(*sys.argv[1:]))
"""


async def _project(folder: Path, home: Path) -> None:
    async with await ProjectStore.create(folder, Project(name="Busy"), home=home) as store:
        await store.save(Task(name="Count", instruction="0"), parent=store.project)


@pytest.mark.slow
async def test_a_process_that_is_killed_loses_nothing_it_told_and_leaves_nothing_half(
    tmp_path: Path,
) -> None:
    folder, home = tmp_path / "p", tmp_path / "home"
    await _project(folder, home)
    told: set[str] = set()
    chance = random.Random(7)
    for round_number in range(8):
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _WORKER, folder, home, f"w{round_number}", stdout=subprocess.PIPE
        )
        assert worker.stdout is not None
        async with asyncio.timeout(60):
            told.add((await worker.stdout.readline()).decode().strip())
            for _ in range(chance.randrange(1, 12)):
                told.add((await worker.stdout.readline()).decode().strip())
            await asyncio.sleep(chance.random() * 0.01)  # the kill falls anywhere in a save
            worker.send_signal(signal.SIGKILL)
            rest = await worker.stdout.read()
            await worker.wait()
        told |= {line for line in rest.decode().splitlines() if line.endswith(tuple("0123456789"))}
        async with await ProjectStore.open(folder, home=home) as store:
            (task,) = await store.children(store.project, Task)
            runs = await store.children(task, TaskRun)
            inputs = {run.input for run in runs}
            assert store.problems == ()
            assert {f"{pair}-{half}" for pair in told for half in "ab"} <= inputs
            halves = {name.rpartition("-")[0] for name in inputs}
            assert {f"{pair}-{half}" for pair in halves for half in "ab"} == inputs
            assert await store.count_runs(task, RunQuery()) == len(runs)


@pytest.mark.slow
async def test_no_update_of_several_processes_is_lost(tmp_path: Path) -> None:
    folder, home = tmp_path / "p", tmp_path / "home"
    await _project(folder, home)
    times, workers = 15, 3
    async with asyncio.timeout(60):
        running = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", _COUNTER, folder, home, str(times), stdout=subprocess.PIPE
            )
            for _ in range(workers)
        ]
        results = [await worker.communicate() for worker in running]
    assert all(worker.returncode == 0 for worker in running)
    assert all(json.loads(out) >= 0 for out, _ in results)
    async with await ProjectStore.open(folder, home=home) as store:
        (task,) = await store.children(store.project, Task)
        assert int(task.instruction) == times * workers
