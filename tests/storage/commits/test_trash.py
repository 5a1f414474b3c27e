"""Deleted records are restored."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from storage import Feedback, Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.errors import Refusal


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    folder = tmp_path / "p"
    async with await ProjectStore.create(folder, Project(name="P"), home=tmp_path / "h") as opened:
        task = await opened.save(Task(name="Support", instruction="A."), parent=opened.project)
        run = TaskRun(input="hi", output=TaskOutput(output="hello"))
        run = await opened.save(run, parent=task)
        await opened.save(Feedback(feedback="Good.", source="run-page"), parent=run)
        yield opened


async def _task(store: ProjectStore) -> Task:
    (task,) = await store.children(store.project, Task)
    return task


async def _run(store: ProjectStore) -> TaskRun:
    (run,) = await store.children(await _task(store), TaskRun)
    return run


async def test_a_record_comes_back_after_what_it_lay_below(store: ProjectStore) -> None:
    (comment,) = await store.children(await _run(store), Feedback)
    deleted = [await store.delete(comment)]
    deleted.append(await store.delete(await _run(store)))
    deleted.append(await store.delete(await _task(store)))
    for one in deleted[:2]:
        with pytest.raises(Refusal, match="Restore the task 'Support' first") as error:
            await store.restore(one.key)
        assert f"by its key {deleted[2].key}." in str(error.value)
    await store.restore(deleted[2].key)
    with pytest.raises(Refusal, match="Restore the run 'hi' first"):
        await store.restore(deleted[0].key)
    await store.restore(deleted[1].key)
    await store.restore(deleted[0].key)
    assert await store.children(await _run(store), Feedback) == [comment]
    assert await store.trash() == []


async def test_what_lay_below_a_record_that_is_gone_for_good_is_not_put_back(
    store: ProjectStore,
) -> None:
    task = await _task(store)
    run = await store.delete(await _run(store))
    (store.folder / task.saved.path).unlink()
    with pytest.raises(Refusal, match="undoing its deletion"):
        await store.restore(run.key)


async def test_a_record_that_is_there_again_is_not_put_back_over_it(store: ProjectStore) -> None:
    task = await _task(store)
    content = (store.folder / task.saved.path).read_bytes()
    deleted = await store.delete(task)
    file = store.folder / task.saved.path
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(Refusal, match="The task 'Support' was not restored"):
        await store.restore(deleted.key)
    assert await store.trash() == [deleted]


async def test_a_record_is_put_back_around_leftovers_and_nothing_is_lost(
    store: ProjectStore,
) -> None:
    run = await _run(store)
    folder = store.side_folder(run)
    (folder / "notes.txt").write_text("in the trash", encoding="utf-8")
    (folder / "same.txt").write_text("the same", encoding="utf-8")
    deleted = await store.delete(await _task(store))
    folder.mkdir(parents=True)
    (folder / "same.txt").write_text("the same", encoding="utf-8")
    (folder / "more.txt").write_text("a leftover", encoding="utf-8")
    (folder / "notes.txt").write_text("another", encoding="utf-8")
    await store.restore(deleted.key)
    assert await _run(store) == run
    assert len(await store.children(run, Feedback)) == 1
    texts = {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*.txt")}
    assert texts == {"same.txt": "the same", "more.txt": "a leftover", "notes.txt": "another"}
    assert await store.trash() == [deleted]
    (kept,) = (store.folder / deleted.place).rglob("notes.txt")
    assert kept.read_text(encoding="utf-8") == "in the trash"


async def test_what_was_put_back_around_leftovers_that_fit_leaves_the_trash(
    store: ProjectStore,
) -> None:
    deleted = await store.delete(await _task(store))
    (store.folder / deleted.folder / "runs").mkdir(parents=True)
    await store.restore(deleted.key)
    assert (await _run(store)).input == "hi"
    assert await store.trash() == []
