import json
from pathlib import Path

import pytest

from storage import (
    Project,
    ProjectStore,
    Task,
    TaskOutput,
    TaskRun,
)
from storage.errors import NotAProject, ProjectExists, RecordNotFound, StaleRevision


async def _task(folder: Path) -> tuple[ProjectStore, Task]:
    store = await ProjectStore.create(folder / "p", Project(name="Café"))
    task = await store.save(Task(name="Support", instruction="Answer."), parent=store.project)
    return store, task


async def test_a_saved_record_is_read_back_equal(tmp_path: Path) -> None:
    store, task = await _task(tmp_path)
    run = TaskRun(input="hi", output=TaskOutput(output="hello"), tags=("a",))
    saved = await store.save(run, parent=task)
    again = await ProjectStore.open(store.folder)
    assert again.project.name == "Café"
    assert await again.children(task, TaskRun) == [saved]


async def test_unknown_keys_survive_a_change_in_place_and_in_order(tmp_path: Path) -> None:
    store, task = await _task(tmp_path)
    assert task.origin is not None
    file = store.folder / task.origin.path
    data = json.loads(file.read_text(encoding="utf-8"))
    data = {"v": data.pop("v"), "theirs": {"x": 1.50}, **data}
    file.write_text(json.dumps(data, indent=2), encoding="utf-8")
    read = (await store.children(store.project, Task))[0]
    await store.save(read.replace(instruction="Answer briefly."))
    after = json.loads(file.read_text(encoding="utf-8"))
    assert list(after) == list(data)
    assert after == {**data, "instruction": "Answer briefly."}


async def test_a_save_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    store, task = await _task(tmp_path)
    assert task.origin is not None
    file = store.folder / task.origin.path
    before = file.stat().st_mtime_ns
    await store.save(task.replace(instruction=task.instruction))
    assert file.stat().st_mtime_ns == before


async def test_of_two_writers_of_one_revision_exactly_one_succeeds(tmp_path: Path) -> None:
    store, task = await _task(tmp_path)
    await store.save(task.replace(instruction="one"))
    with pytest.raises(StaleRevision, match="since it was read"):
        await store.save(task.replace(instruction="two"))


async def test_one_corrupt_file_is_reported_and_the_rest_works(tmp_path: Path) -> None:
    store, task = await _task(tmp_path)
    await store.save(Task(name="Other", instruction="x"), parent=store.project)
    assert task.origin is not None
    (store.folder / task.origin.path).write_text("{", encoding="utf-8")
    assert [one.name for one in await store.children(store.project, Task)] == ["Other"]
    assert [problem.path for problem in store.problems] == [task.origin.path]


async def test_a_newer_format_is_left_alone_and_reported(tmp_path: Path) -> None:
    store, task = await _task(tmp_path)
    assert task.origin is not None
    file = store.folder / task.origin.path
    file.write_text(file.read_text(encoding="utf-8").replace('"v": 1', '"v": 2'), encoding="utf-8")
    assert await store.children(store.project, Task) == []
    assert "newer than 1" in store.problems[0].reason


async def test_a_record_that_is_not_found_names_those_close_to_it(tmp_path: Path) -> None:
    store, _ = await _task(tmp_path)
    with pytest.raises(RecordNotFound, match="Close to it: Support"):
        await store.find(Task, "Suport", parent=store.project)


async def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store, task = await _task(tmp_path)

    async def both() -> None:
        async with store.transaction() as change:
            change.save(TaskRun(input="a", output=TaskOutput(output="b")), task)
            await store.save(task.replace(instruction="other"))
            change.save(task.replace(instruction="late"))

    with pytest.raises(StaleRevision):
        await both()
    assert await store.children(task, TaskRun) == []


async def test_a_folder_without_a_project_and_one_with_a_project_are_told_apart(
    tmp_path: Path,
) -> None:
    with pytest.raises(NotAProject, match=r"holds no project\.kiln"):
        await ProjectStore.open(tmp_path)
    await ProjectStore.create(tmp_path, Project(name="a"))
    with pytest.raises(ProjectExists):
        await ProjectStore.create(tmp_path, Project(name="b"))
