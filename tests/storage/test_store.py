import base64
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from storage import (
    Project,
    ProjectStore,
    Task,
    TaskOutput,
    TaskRun,
)
from storage.commits.seal import JournalSeal
from storage.errors import RecordNotFound, Refusal, StaleRevision, StorageError

_OLD_RUN = """{
  "v": 1,
  "id": "111111111111",
  "from_the_future": {"kept": [1, 2]},
  "created_at": "2025-07-24T20:25:11.487813",
  "created_by": "someone",
  "input": "caf\\u00e9",
  "output": {
    "v": 1,
    "id": "152775509822",
    "path": null,
    "output": "hello",
    "new_thing": 2.50,
    "rating": null,
    "model_type": "task_output"
  },
  "tags": [
    "a"
  ],
  "usage": {
    "cost": 2.658e-6
  },
  "model_type": "task_run"
}"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    home = tmp_path / "home"
    async with await ProjectStore.create(tmp_path / "p", Project(name="Café"), home=home) as opened:
        yield opened


@pytest.fixture
async def task(store: ProjectStore) -> Task:
    return await store.save(Task(name="Support", instruction="Answer."), parent=store.project)


async def test_a_saved_record_is_read_back_equal(store: ProjectStore, task: Task) -> None:
    run = TaskRun(input="hi", output=TaskOutput(output="hello"), tags=("a",))
    saved = await store.save(run, parent=task)
    async with await ProjectStore.open(store.folder) as again:
        assert again.project.name == "Café"
        assert await again.children(task, TaskRun) == [saved]
        assert await again.get(TaskRun, saved.id) == saved


async def test_unknown_keys_survive_a_change_in_place_and_in_order(
    store: ProjectStore, task: Task
) -> None:
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


async def test_a_save_that_changes_nothing_writes_nothing(store: ProjectStore, task: Task) -> None:
    assert task.origin is not None
    file = store.folder / task.origin.path
    before = file.stat().st_mtime_ns
    await store.save(task.replace(instruction=task.instruction))
    assert file.stat().st_mtime_ns == before


async def test_of_two_writers_of_one_revision_exactly_one_succeeds(
    store: ProjectStore, task: Task
) -> None:
    await store.save(task.replace(instruction="one"))
    with pytest.raises(StaleRevision, match="since it was read"):
        await store.save(task.replace(instruction="two"))


async def test_one_corrupt_file_is_reported_and_the_rest_works(
    store: ProjectStore, task: Task
) -> None:
    await store.save(Task(name="Other", instruction="x"), parent=store.project)
    assert task.origin is not None
    (store.folder / task.origin.path).write_text("{", encoding="utf-8")
    assert [one.name for one in await store.children(store.project, Task)] == ["Other"]
    assert [problem.path for problem in store.problems] == [task.origin.path]


async def test_a_newer_format_is_left_alone_and_reported(store: ProjectStore, task: Task) -> None:
    assert task.origin is not None
    file = store.folder / task.origin.path
    file.write_text(file.read_text(encoding="utf-8").replace('"v": 1', '"v": 2'), encoding="utf-8")
    assert await store.children(store.project, Task) == []
    assert "newer than 1" in store.problems[0].reason


async def test_a_record_that_is_not_found_names_those_close_to_it(
    store: ProjectStore, task: Task
) -> None:
    with pytest.raises(RecordNotFound, match="Close to it: Support"):
        await store.find(Task, "Suport", parent=store.project)


async def test_a_transaction_that_fails_leaves_nothing(store: ProjectStore, task: Task) -> None:

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
    with pytest.raises(StorageError, match=r"holds no project\.kiln"):
        await ProjectStore.open(tmp_path)
    await (await ProjectStore.create(tmp_path, Project(name="a"))).close()
    with pytest.raises(Refusal, match="holds a project already"):
        await ProjectStore.create(tmp_path, Project(name="b"))


async def _put_run(store: ProjectStore, task: Task, text: str) -> anyio.Path:
    folder = anyio.Path(store.side_folder(task)) / "runs" / "111111111111"
    await folder.mkdir(parents=True)
    file = folder / "task_run.kiln"
    await file.write_text(text, encoding="utf-8")
    return file


async def test_an_older_file_that_is_saved_unchanged_is_not_touched(
    store: ProjectStore, task: Task
) -> None:
    file = await _put_run(store, task, _OLD_RUN)
    before = (await file.stat()).st_mtime_ns
    await store.save(await store.get(TaskRun, "111111111111"))
    assert await file.read_text(encoding="utf-8") == _OLD_RUN
    assert (await file.stat()).st_mtime_ns == before


async def test_a_change_touches_only_its_own_keys(store: ProjectStore, task: Task) -> None:
    file = await _put_run(store, task, _OLD_RUN)
    run = await store.get(TaskRun, "111111111111")
    assert run.input == "café"
    saved = await store.save(run.replace(tags=("a", "b")))
    with_tag = _OLD_RUN.replace('    "a"\n', '    "a",\n    "b"\n')
    assert await file.read_text(encoding="utf-8") == with_tag
    better = saved.output.replace(output="hallo")
    saved = await store.save(saved.replace(output=better))
    expected = with_tag.replace('"output": "hello"', '"output": "hallo"')
    assert await file.read_text(encoding="utf-8") == expected


async def test_what_a_dead_process_left_is_finished_before_an_open_one_writes(
    store: ProjectStore, task: Task, tmp_path: Path
) -> None:
    held = (store.folder / task.saved.path).read_bytes()
    left = held.replace(b"Answer.", b"Left by the dead.")
    journal = {
        "edits": [[task.saved.path, base64.b64encode(left).decode(), task.saved.revision]],
        "moves": [],
    }
    pending = anyio.Path(store.folder / ".trash" / "pending")
    sealed = JournalSeal(store.folder.parent / "state").mark(json.dumps(journal).encode())
    await (pending / "left.json").write_bytes(sealed)
    with pytest.raises(StaleRevision):
        await store.save(task.replace(instruction="Mine."))
    (now,) = await store.children(store.project, Task)
    assert now.instruction == "Left by the dead."
    await store.save(now.replace(instruction="Mine."))
    async with await ProjectStore.open(store.folder, home=tmp_path / "home") as again:
        assert [task.instruction for task in await again.children(again.project, Task)] == ["Mine."]


async def test_a_new_record_can_be_saved_again_in_the_same_transaction(
    store: ProjectStore, task: Task
) -> None:
    async with store.transaction() as change:
        new = change.save(TaskRun(input="n", output=TaskOutput(output="o")), task)
        again = change.save(new.replace(tags=("a",)))
        last = change.save(again.replace(tags=("a", "b")))
    assert await store.children(task, TaskRun) == [last]
    assert last.tags == ("a", "b")
    async with store.transaction() as change:
        first = change.save(last.replace(tags=()))
        change.save(first.replace(input="m"))
    (run,) = await store.children(task, TaskRun)
    assert (run.tags, run.input) == ((), "m")


async def test_a_new_record_can_be_deleted_in_the_same_transaction(
    store: ProjectStore, task: Task
) -> None:
    async with store.transaction() as change:
        new = change.save(TaskRun(input="n", output=TaskOutput(output="o")), task)
        trashed = change.delete(new)
    assert await store.children(task, TaskRun) == []
    await store.restore(trashed.key)
    assert [run.id for run in await store.children(task, TaskRun)] == [new.id]


async def test_of_records_that_are_saved_together_one_that_does_not_fit_is_refused_alone(
    tmp_path: Path,
) -> None:
    schema = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}})
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = Task(name="T", instruction="Count.", output_json_schema=schema)
        task = await store.save(task, parent=store.project)
        outputs = [json.dumps({"n": 1}), json.dumps({"n": "one"}), json.dumps({"n": 2})]
        runs = [TaskRun(input="x", output=TaskOutput(output=text)) for text in outputs]
        errors = await store.save_each([(run, task) for run in runs])
        assert [type(error) for error in errors] == [type(None), StorageError, type(None)]
        saved = await store.children(task, TaskRun)
        assert {run.id for run in saved} == {runs[0].id, runs[2].id}
