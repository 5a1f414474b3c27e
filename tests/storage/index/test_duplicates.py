"""Records whose ids others have: conflict copies beside them, and others elsewhere."""

import shutil
from pathlib import Path

import pytest

from storage import Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.errors import Refusal
from storage.index.queries import RunQuery


async def _copied(store: ProjectStore, record: Task | TaskRun, name: str) -> str:
    folder = store.side_folder(record)
    shutil.copytree(folder, folder.with_name(name))
    await store.refresh()
    return (
        (folder.with_name(name) / record.saved.path.rpartition("/")[2])
        .relative_to(store.folder)
        .as_posix()
    )


@pytest.fixture
async def one_task(tmp_path: Path) -> Path:
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = await store.save(Task(name="Support", instruction="Answer."), parent=store.project)
        run = TaskRun(input="hi", output=TaskOutput(output="o"))
        await store.save(run, parent=task)
    return tmp_path / "p"


async def test_a_copied_run_is_named_and_not_counted_and_takes_the_place_of_a_deleted_one(
    one_task: Path,
) -> None:
    async with await ProjectStore.open(one_task) as store:
        (task,) = await store.children(store.project, Task)
        (run,) = await store.children(task, TaskRun)
        copy = await _copied(store, run, f"{run.id} - Copy")
        (told,) = await store.copies()
        assert (f"{told.path}/task_run.kiln", told.record) == (copy, run.saved.path)
        assert await store.duplicates() == []
        assert await store.unreadable() == []
        assert (await store.get(TaskRun, run.id)).saved.path == run.saved.path
        page = await store.page_of_runs(task, RunQuery())
        assert (len(page.records), page.total) == (1, 1)
        assert [one.saved.path for one in await store.children(task, TaskRun)] == [run.saved.path]
        assert (await store.page_of(TaskRun)).total == 1
        deleted = await store.delete(run)
        assert (await store.get(TaskRun, run.id)).saved.path == copy
        assert (await store.page_of_runs(task, RunQuery())).total == 1
        assert await store.copies() == []
        await store.restore(deleted.key)
        assert [one.path for one in await store.copies()] == [told.path]
        assert (await store.page_of_runs(task, RunQuery())).total == 1


async def test_a_copy_that_is_there_before_its_record_gives_way_to_it(one_task: Path) -> None:
    async with await ProjectStore.open(one_task) as store:
        (task,) = await store.children(store.project, Task)
        (run,) = await store.children(task, TaskRun)
        folder = store.side_folder(run)
        folder.rename(folder.with_name("backup"))
        await store.refresh()
        assert (await store.get(TaskRun, run.id)).saved.path.endswith("backup/task_run.kiln")
        shutil.copytree(folder.with_name("backup"), folder)
        await store.refresh()
        assert (await store.get(TaskRun, run.id)).saved.path == run.saved.path
        (told,) = await store.copies()
        assert told.path.endswith("/backup")
    async with await ProjectStore.open(one_task) as again:
        assert [one.path for one in await again.copies()] == [told.path]


async def test_nothing_below_a_copied_task_is_counted_until_the_task_is_gone(
    one_task: Path,
) -> None:
    async with await ProjectStore.open(one_task) as store:
        (task,) = await store.children(store.project, Task)
        copy = await _copied(store, task, f"{task.id} - Support 2")
        assert [f"{told.path}/task.kiln" for told in await store.copies()] == [copy]
        for reference in (task.id, "support"):
            record = await store.find(Task, reference, parent=store.project)
            assert record.saved.path == task.saved.path
        assert (await store.page_of(TaskRun)).total == 1
        for _ in range(2):
            await store.refresh()
            assert (await store.page_of(TaskRun)).total == 1
        await store.delete(task)
        (record,) = await store.children(store.project, Task)
        assert record.saved.path == copy
        assert await store.count_runs(record, RunQuery()) == 1


async def test_a_record_of_its_own_is_no_copy_whatever_its_name(one_task: Path) -> None:
    async with await ProjectStore.open(one_task) as store:
        for name in ("Support 2", "Support (1)", "Support-LAPTOP", "Support"):
            await store.save(Task(name=name, instruction="Other."), parent=store.project)
        assert await store.copies() == []
        assert len(await store.children(store.project, Task)) == 5
        with pytest.raises(Refusal, match="2 records"):
            await store.find(Task, "Support", parent=store.project)


async def test_a_run_copied_to_another_task_is_told(one_task: Path) -> None:
    async with await ProjectStore.open(one_task) as store:
        (task,) = await store.children(store.project, Task)
        (run,) = await store.children(task, TaskRun)
        other = await store.save(Task(name="Other", instruction="x"), parent=store.project)
        target = store.side_folder(other) / "runs" / run.id
        shutil.copytree(store.side_folder(run), target)
        await store.refresh()
        assert len(await store.duplicates()) == 1
        found = await store.get(TaskRun, run.id, parent=other)
        assert found.saved.path.startswith(str(target.relative_to(store.folder)))
