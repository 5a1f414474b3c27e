"""A folder that somebody copied by hand holds records whose ids others have already."""

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


async def test_of_a_copied_run_both_files_are_named_and_the_shorter_path_is_meant(
    one_task: Path,
) -> None:
    async with await ProjectStore.open(one_task) as store:
        (task,) = await store.children(store.project, Task)
        (run,) = await store.children(task, TaskRun)
        copy = await _copied(store, run, f"{run.id} - Copy")
        (told,) = await store.duplicates()
        assert told.path == copy
        assert run.saved.path in told.reason
        assert "Move one of the two folders" in told.reason
        assert (await store.get(TaskRun, run.id)).saved.path == run.saved.path
        page = await store.page_of_runs(task, RunQuery())
        assert (len(page.records), page.total) == (2, 2)
        tagged = await store.save((await store.get(TaskRun, run.id)).replace(tags=("a",)))
        other = next(one for one in await store.children(task, TaskRun) if not one.tags)
        assert (other.saved.path, tagged.saved.path) == (copy, run.saved.path)
        deleted = await store.delete(tagged)
        assert (await store.get(TaskRun, run.id)).saved.path == copy
        assert await store.duplicates() == []
        await store.restore(deleted.key)
        assert len(await store.duplicates()) == 1


async def test_of_a_copied_task_only_the_task_is_told_and_it_is_found_by_name_and_id(
    one_task: Path,
) -> None:
    async with await ProjectStore.open(one_task) as store:
        (task,) = await store.children(store.project, Task)
        copy = await _copied(store, task, f"{task.id} - Support copy")
        assert [told.path for told in await store.duplicates()] == [copy]
        for reference in (task.id, "support"):
            found = await store.find(Task, reference, parent=store.project)
            assert found.saved.path == task.saved.path
        await store.save(Task(name="Support", instruction="Other."), parent=store.project)
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
