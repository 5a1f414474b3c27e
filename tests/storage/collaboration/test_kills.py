"""A process that syncs is killed, with every git that it started, at any moment."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage import Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.atomic_write import UNFINISHED
from storage.collaboration.sync import Sharing, fetch_project
from storage.git.git import Git

_WORKER = """
import asyncio, sys
from pathlib import Path
from storage import ProjectStore, Task, TaskOutput, TaskRun
from storage.collaboration.sync import Sharing

async def work(folder, home, name):
    async with await ProjectStore.open(Path(folder), home=Path(home)) as store:
        (task,) = await store.children(store.project, Task)
        number = 0
        while True:
            number += 1
            text = f"{name}-{number}"
            await store.save(TaskRun(input=text, output=TaskOutput(output="x" * 3000)), parent=task)
            print(text, flush=True)
            await Sharing(store).sync()

asyncio.run(work(*sys.argv[1:]))
"""
_NEW = 25
"""Runs that the other person adds in a round, so that the folder's change takes a while."""


def _files(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
        and file.relative_to(folder).parts[0] not in {".git", ".trash"}
        and not UNFINISHED.fullmatch(file.name)
    }


async def _runs(store: ProjectStore) -> dict[str, TaskRun]:
    (task,) = await store.children(store.project, Task)
    return {run.input: run for run in await store.children(task, TaskRun)}


class _Ben:
    """The other person: adds, tags and deletes runs, and remembers it."""

    def __init__(self, store: ProjectStore) -> None:
        self.store = store
        self.expected: set[str] = set()
        self.deleted: set[str] = set()
        self.tags: dict[str, str] = {}

    async def work(self, round_number: int, chance: random.Random) -> None:
        (task,) = await self.store.children(self.store.project, Task)
        runs = await _runs(self.store)
        mine = sorted(self.expected)
        async with self.store.transaction() as change:
            for name in chance.sample(mine, min(len(mine), 5)):
                change.delete(runs[name])
                self.expected.remove(name)
                self.deleted.add(name)
                self.tags.pop(name, None)
            for name in chance.sample(sorted(self.expected), min(len(self.expected), 5)):
                tag = f"r{round_number}"
                change.save(runs[name].replace(tags=(*runs[name].tags, tag)))
                self.tags[name] = tag
            for number in range(_NEW):
                text = f"ben-{round_number}-{number}"
                change.save(TaskRun(input=text, output=TaskOutput(output="y" * 3000)), task)
                self.expected.add(text)
        await Sharing(self.store).sync()

    def check(self, runs: dict[str, TaskRun]) -> None:
        assert self.expected <= set(runs)
        assert not self.deleted & set(runs)
        for text, tag in self.tags.items():
            assert tag in runs[text].tags


async def _work_and_be_killed(folder: Path, home: Path, name: str, after_s: float) -> set[str]:
    """Return what the process said that it saved, before it was killed."""
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _WORKER, folder, home, name),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert worker.stdout is not None
    async with asyncio.timeout(60):
        first = (await worker.stdout.readline()).decode().strip()
        assert first
        await asyncio.sleep(after_s)  # the kill falls anywhere in a sync
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        rest = (await worker.stdout.read()).decode()
        await worker.wait()
    assert worker.returncode == -signal.SIGKILL
    complete_files = rest.rpartition("\n")[0]
    return {first, *complete_files.splitlines()}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_sync_that_is_killed_at_any_moment_loses_nothing_and_the_next_one_catches_up(
    tmp_path: Path,
) -> None:
    hub, ana, home = str(tmp_path / "hub.git"), tmp_path / "ana", tmp_path / "h1"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", hub], check=True)  # noqa: ASYNC221
    async with await ProjectStore.create(ana, Project(name="Killed"), home=home) as store:
        await store.save(Task(name="T", instruction="i"), parent=store.project)
        await Sharing(store).share(hub)
        await Sharing(store).sync()
    await fetch_project(hub, tmp_path / "ben")
    chance = random.Random(int(os.environ.get("KILL_SEED", "11")))
    output: set[str] = set()
    async with await ProjectStore.open(tmp_path / "ben", home=tmp_path / "h2") as theirs:
        ben = _Ben(theirs)
        for round_number in range(int(os.environ.get("KILL_ROUNDS", "12"))):
            await ben.work(round_number, chance)
            output |= await _work_and_be_killed(
                ana, home, f"a{round_number}", chance.random() * 1.2
            )
            async with await ProjectStore.open(ana, home=home) as store:
                assert await store.unreadable() == []
                assert output <= set(await _runs(store))
                report = await Sharing(store).sync()
                assert report.is_sent
                assert report.conflicts == ()
                runs = await _runs(store)
            assert output <= set(runs)
            ben.check(runs)
            await Sharing(theirs).sync()
            assert _files(ana) == _files(tmp_path / "ben")
            assert Git(ana).text("status", "--porcelain", "--", ".", ":!**/.*.new") == ""
            Git(ana).run("fsck", "--no-dangling", "--connectivity-only")


_SETTLER = """
import asyncio, sys
from pathlib import Path
from storage import ProjectStore
from storage.collaboration.copy_settlement import CopyChoice, settle, settlement

async def work(folder, home):
    async with await ProjectStore.open(Path(folder), home=Path(home)) as store:
        print("ready", flush=True)
        for number, copy in enumerate(await store.copies()):
            choice = list(CopyChoice)[number % 2]
            await settle(store, settlement(store.folder, copy, choice))

asyncio.run(work(*sys.argv[1:]))
"""


def _copies_of(folder: Path) -> None:
    """Put a copy with a tag of its own beside each run: of its file, or of its folder."""
    for number, file in enumerate(sorted(folder.rglob("task_run.kiln"))):
        text = file.read_text("utf-8").replace('"tags": []', '"tags": ["late"]')
        if number % 2:
            file.with_name("task_run (1).kiln").write_text(text, "utf-8")
        else:
            other = file.parent.with_name(f"{file.parent.name}-LAPTOP") / file.name
            other.parent.mkdir()
            other.write_text(text, "utf-8")


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_settlement_of_copies_that_is_killed_at_any_moment_halves_none(
    tmp_path: Path,
) -> None:
    folder, home, chance = tmp_path / "ana", tmp_path / "h1", random.Random(7)
    async with await ProjectStore.create(folder, Project(name="P"), home=home) as store:
        task = await store.save(Task(name="T", instruction="x"), parent=store.project)
        for number in range(12):
            run = TaskRun(input=str(number), output=TaskOutput(output="o"))
            await store.save(run, parent=task)
    _copies_of(folder)
    remaining, rounds = 12, 0
    while remaining:
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _SETTLER, str(folder), str(home)), stdout=subprocess.PIPE
        )
        assert worker.stdout is not None
        async with asyncio.timeout(60):
            await worker.stdout.readline()
            await asyncio.sleep(chance.uniform(0, 0.4))  # the kill falls anywhere
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()
        rounds += 1
        async with await ProjectStore.open(folder, home=home) as store:
            (task,) = await store.children(store.project, Task)
            runs = await store.children(task, TaskRun)
            assert sorted(int(run.input) for run in runs) == list(range(12))
            assert await store.unreadable() == []
            settled_count = sum(run.tags == ("late",) for run in runs)
            remaining = len(await store.copies())
            assert settled_count + remaining == 12
    assert rounds > 1
