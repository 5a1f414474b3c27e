"""A save below a record that is gone is refused, and so is its deletion."""

from collections.abc import AsyncGenerator
from pathlib import Path
from shutil import rmtree

import pytest

from storage import Project, ProjectStore, Prompt, Task, TaskOutput, TaskRun
from storage.errors import StaleRevision, StorageError, WriteError
from storage.index.queries import RunQuery


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    home = tmp_path / "h"
    async with await ProjectStore.create(tmp_path / "p", Project(name="P"), home=home) as opened:
        await opened.save(Task(name="Support", instruction="A."), parent=opened.project)
        yield opened


@pytest.fixture
async def other(store: ProjectStore, tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    """The same project, opened by somebody else."""
    async with await ProjectStore.open(store.folder, home=tmp_path / "h2") as opened:
        yield opened


def _run(text: str = "hi") -> TaskRun:
    return TaskRun(input=text, output=TaskOutput(output="hello"))


async def _task(store: ProjectStore) -> Task:
    (task,) = await store.children(store.project, Task)
    return task


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


async def test_nothing_is_saved_below_a_task_that_somebody_else_deleted(
    store: ProjectStore, other: ProjectStore
) -> None:
    task = await _task(store)
    deleted = await other.delete(await _task(other))
    before = _names(store.folder)
    with pytest.raises(StaleRevision, match="so nothing can be saved below it") as error:
        await store.save(_run(), parent=task)
    assert isinstance(error.value, StaleRevision)
    assert error.value.path == task.saved.path
    assert _names(store.folder) == before
    await other.restore(deleted.key)
    await store.save(_run(), parent=task)
    assert await store.count_runs(task, RunQuery()) == 1


async def test_a_change_of_which_one_record_lies_below_nothing_is_not_made_at_all(
    store: ProjectStore, other: ProjectStore
) -> None:
    kept = await store.save(Task(name="Kept", instruction="A."), parent=store.project)
    (gone,) = [one for one in await store.children(store.project, Task) if one.id != kept.id]
    await other.delete(gone)

    async def both() -> None:
        async with store.transaction() as change:
            change.save(_run(), kept)
            change.save(Prompt(name="Short", prompt="Be short."), gone)

    with pytest.raises(StaleRevision, match="so nothing can be saved below it"):
        await both()
    assert await store.children(kept, TaskRun) == []


async def test_a_record_and_one_below_it_are_saved_in_one_change(store: ProjectStore) -> None:
    async with store.transaction() as change:
        task = change.save(Task(name="New", instruction="A."), store.project)
        change.save(_run(), task)
    assert len(await store.children(task, TaskRun)) == 1


@pytest.mark.parametrize("taken", ["tasks", "."])
async def test_a_folder_that_was_removed_is_not_made_again_by_a_save(
    store: ProjectStore, taken: str
) -> None:
    task = await _task(store)
    run = await store.save(_run(), parent=task)
    rmtree(store.folder / taken)
    with pytest.raises(StaleRevision, match="so nothing can be saved below it"):
        await store.save(_run(), parent=task)
    with pytest.raises(StaleRevision):
        await store.save(run.replace(tags=("a",)))
    with pytest.raises(StorageError, match="was deleted already"):
        await store.delete(run)
    assert not (store.folder / taken / "tasks").exists()
    assert store.folder.exists() == (taken == "tasks")
    if taken == ".":
        with pytest.raises(StaleRevision, match=r"project\.kiln was removed"):
            await store.save(Task(name="Again", instruction="A."), parent=store.project)
        assert not store.folder.exists()


async def test_a_record_is_deleted_once_and_lies_in_the_trash_once(
    store: ProjectStore, other: ProjectStore
) -> None:
    run = await store.save(_run(), parent=await _task(store))
    deleted = await store.delete(run)
    for one in (store, other):
        with pytest.raises(StorageError, match="was deleted already"):
            await one.delete(run)
    assert await store.trash() == [deleted]
    await store.restore(deleted.key)
    assert await store.children(await _task(store), TaskRun) == [run]
    await other.delete(run)


async def test_a_change_deletes_a_record_once_and_nothing_below_it_again(
    store: ProjectStore,
) -> None:
    task = await _task(store)
    run = await store.save(_run(), parent=task)
    async with store.transaction() as change:
        change.delete(task)
        for record in (task, run):
            with pytest.raises(StorageError, match="was deleted already"):
                change.delete(record)
    assert len(await store.trash()) == 1


@pytest.mark.parametrize("together", [True, False])
async def test_a_save_that_fails_leaves_no_folder_behind(
    store: ProjectStore, together: bool
) -> None:
    task = await _task(store)
    before = _names(store.folder)

    async def save() -> None:
        async with store.transaction() as change:
            if together:
                change.save(_run("good"), task)
            change.save(_run("bad").replace(id="9" * 300), task)

    with pytest.raises(WriteError):
        await save()
    assert _names(store.folder) == before
