"""Writers of one process are written in groups, each whole or not at all."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import pytest

from storage import Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.commits.commit_log import CommitLog, FileEdit
from storage.commits.group_commit import GroupCommit
from storage.commits.locks import ProjectLock
from storage.commits.steps import ChangeRequest
from storage.errors import ProjectBusy, StaleRevision, UnsafePath
from storage.index.queries import RunQuery
from storage.index.scan import WrittenFile


def run(text: str) -> TaskRun:
    return TaskRun(input=text, output=TaskOutput(output="o"))


async def project(folder: Path) -> tuple[ProjectStore, Task]:
    store = await ProjectStore.create(folder / "p", Project(name="P"), home=folder / "home")
    return store, await store.save(Task(name="T", instruction="I"), parent=store.project)


async def test_many_writers_at_once_are_all_on_disk_and_in_the_index(tmp_path: Path) -> None:
    store, task = await project(tmp_path)
    async with store:
        assert await store.count_runs(task, RunQuery()) == 0

        async def save(number: int) -> None:
            saved = await store.save(run(str(number)), parent=task)
            assert (store.folder / saved.saved.path).is_file()  # acknowledged means written

        async with anyio.create_task_group() as group:
            for number in range(300):
                group.start_soon(save, number)
        assert await store.count_runs(task, RunQuery()) == 300
        assert not list((store.folder / ".trash" / "pending").iterdir())


async def test_a_change_that_is_refused_touches_no_other_of_its_group(tmp_path: Path) -> None:
    store, task = await project(tmp_path)
    async with store:
        first = await store.save(run("first"), parent=task)
        await store.save(first.replace(tags=("newer",)))
        refused: list[Exception] = []

        async def save_old() -> None:
            try:
                await store.save(first.replace(tags=("older",)))
            except StaleRevision as error:
                refused.append(error)

        async with anyio.create_task_group() as group:
            group.start_soon(store.save, task.replace(instruction="New."))
            group.start_soon(save_old)
            for number in range(5):
                group.start_soon(save_new, store, task, number)
        (kept,) = [one for one in await store.children(task, TaskRun) if one.input == "first"]
        assert len(refused) == 1
        assert kept.tags == ("newer",)
        assert await store.count_runs(task, RunQuery()) == 6


async def save_new(store: ProjectStore, task: Task, number: int) -> None:
    await store.save(run(f"new {number}"), parent=task)


def test_changes_of_one_group_that_share_a_file_come_one_after_the_other(tmp_path: Path) -> None:
    log = CommitLog(tmp_path, tmp_path / "state")
    first = ChangeRequest([FileEdit("project.kiln", b"1", None)])
    again = ChangeRequest([FileEdit("project.kiln", b"2", None)])
    bad = ChangeRequest([FileEdit("../outside", b"3", None)])
    other = ChangeRequest([FileEdit("tasks/1 - t/task.kiln", b"4", None)])
    outcomes = log.commit_all([first, again, bad, other])
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        StaleRevision,
        UnsafePath,
        type(None),
    ]
    assert (tmp_path / "project.kiln").read_bytes() == b"1"
    assert (tmp_path / "tasks/1 - t/task.kiln").read_bytes() == b"4"


async def test_a_writer_that_is_cancelled_before_its_turn_writes_nothing(tmp_path: Path) -> None:
    store, task = await project(tmp_path)
    async with store:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.save(run("never"), parent=task)
        await store.save(run("kept"), parent=task)
        assert [one.input for one in await store.children(task, TaskRun)] == ["kept"]


async def test_what_is_paid_for_waits_for_a_lock_that_others_give_up_on(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    was_busy = anyio.Event()

    async def listener(files: Sequence[WrittenFile], *, may_lag: bool) -> None:
        assert not may_lag
        if not files:
            was_busy.set()

    queue = GroupCommit(CommitLog(folder, tmp_path / "home", longest_wait_s=0.02), listener)
    elsewhere = ProjectLock(folder, tmp_path / "other_home")
    paid = ChangeRequest([FileEdit("tasks/1 - t/task.kiln", b"paid", None)])
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            with elsewhere.hold():
                with pytest.raises(ProjectBusy):
                    await queue.commit(ChangeRequest([FileEdit("project.kiln", b"free", None)]))
                was_busy = anyio.Event()
                group.start_soon(partial(queue.commit, paid, is_patient=True))
                await was_busy.wait()
    assert (folder / "tasks/1 - t/task.kiln").read_bytes() == b"paid"
    assert not (folder / "project.kiln").exists()
