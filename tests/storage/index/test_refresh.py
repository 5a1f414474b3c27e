"""The index follows the files, no matter who changes them."""

import os
import shutil
import sqlite3
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from storage import Feedback, Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.errors import RecordNotFound
from storage.index.queries import RunQuery
from storage.index.refresh import RefreshResult


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    home = tmp_path / "home"
    async with await ProjectStore.create(tmp_path / "p", Project(name="P"), home=home) as opened:
        yield opened


@pytest.fixture
async def task(store: ProjectStore) -> Task:
    return await store.save(Task(name="T", instruction="Do."), parent=store.project)


async def _run(store: ProjectStore, task: Task, tag: str = "a") -> TaskRun:
    run = TaskRun(input="in", output=TaskOutput(output="out"), tags=(tag,))
    return await store.save(run, parent=task)


async def test_a_file_that_another_program_rewrote_is_read_again(
    store: ProjectStore, task: Task
) -> None:
    run = await _run(store, task)
    await store.refresh()
    file = store.folder / run.saved.path
    file.write_text(file.read_text(encoding="utf-8").replace('"a"', '"hand"'), encoding="utf-8")
    assert (await store.refresh()).changed == 1
    assert await store.tags(task) == {"hand": 1}


async def test_a_refresh_of_what_nobody_changed_reads_nothing(
    store: ProjectStore, task: Task
) -> None:
    run = await _run(store, task)
    await store.save(Feedback(feedback="good", source="run-page"), parent=run)
    await store.refresh()
    again = await store.refresh()
    assert (again.changed, again.removed) == (0, 0)


async def test_a_folder_that_was_taken_away_goes_with_all_below_it(
    store: ProjectStore, task: Task
) -> None:
    run = await _run(store, task)
    feedback = await store.save(Feedback(feedback="good", source="run-page"), parent=run)
    other = await _run(store, task, "b")
    await store.refresh()
    shutil.rmtree(store.side_folder(run))
    assert (await store.refresh()).removed == 2
    assert await store.tags(task) == {"b": 1}
    assert (await store.get(TaskRun, other.id)).id == other.id
    with pytest.raises(RecordNotFound):
        await store.get(Feedback, feedback.id)


async def test_what_lay_below_a_record_goes_when_its_folder_was_emptied(
    store: ProjectStore, task: Task
) -> None:
    run = await _run(store, task)
    feedback = await store.save(Feedback(feedback="good", source="run-page"), parent=run)
    await store.refresh()
    shutil.rmtree(store.side_folder(run) / "feedback")
    await store.refresh()
    assert await store.counts(run) == {}
    with pytest.raises(RecordNotFound):
        await store.get(Feedback, feedback.id)


async def test_names_that_sort_otherwise_than_their_paths_are_told_apart(
    store: ProjectStore, task: Task
) -> None:
    run = await _run(store, task)
    await store.refresh()
    await store.refresh()
    folder = store.side_folder(run)
    text = (folder / "task_run.kiln").read_text("utf-8")
    for number, name in enumerate(("a", "a b", "a-b", "ab", "é", "a!")):
        folder.with_name(name).mkdir()
        file = folder.with_name(name) / "task_run.kiln"
        file.write_text(text.replace(run.id, f"{number:012}1"[-12:]), "utf-8")
    assert (await store.refresh()).changed == 6
    assert (await store.refresh()).changed == 0
    assert (await store.counts(task))["task_run"] == 7


async def test_of_thousands_of_runs_exactly_those_that_differ_are_told(
    store: ProjectStore, task: Task
) -> None:
    run = await _run(store, task)
    first = store.side_folder(run)
    text = (first / "task_run.kiln").read_text("utf-8")
    shutil.rmtree(first)

    def content(name: str) -> bytes:
        return text.replace(run.id, f"{int(name, 16) + 1:012}").encode()

    folders = [first.with_name(f"{number:04}") for number in range(2100)]
    for folder in folders:
        folder.mkdir()
        (folder / "task_run.kiln").write_bytes(content(folder.name))
    await store.refresh()
    assert await store.counts(task) == {"task_run": 2100}
    assert await store.refresh() == RefreshResult(changed=0, removed=0)
    for number in (0, 998, 999, 1000, 2099):
        shutil.rmtree(folders[number])
    for number in (1, 1001, 2098):
        (folders[number] / "task_run.kiln").write_bytes(content(folders[number].name) + b" ")
    for name in ("", "1000a", "3000"):
        folders[5].with_name(f"0{name}").mkdir()
        (folders[5].with_name(f"0{name}") / "task_run.kiln").write_bytes(content(f"f0{name}"))
    assert await store.refresh() == RefreshResult(changed=6, removed=5)
    assert await store.refresh() == RefreshResult(changed=0, removed=0)
    assert await store.counts(task) == {"task_run": 2098}
    shutil.rmtree(first.parent)
    await store.refresh()
    assert await store.counts(task) == {}


async def test_a_name_that_is_no_text_is_passed_over(store: ProjectStore, task: Task) -> None:
    run = await _run(store, task)
    folder = store.side_folder(run)
    await anyio.Path(os.fsdecode(os.fsencode(folder.parent) + b"/\xff\xfe")).mkdir()
    await store.refresh()
    assert (await store.counts(task))["task_run"] == 1


async def test_a_newer_index_or_a_broken_one_is_built_again(
    store: ProjectStore, task: Task, tmp_path: Path
) -> None:
    await _run(store, task)
    await store.refresh()
    await store.close()
    (file,) = (tmp_path / "home").rglob("index.sqlite")
    whole = file.read_bytes()
    torn = whole[:8192] + b"\xff" * 8192 + whole[16384:]
    for content in (b"", b"garbage" * 1000, whole[:5000], whole[:-4096], torn):
        for leftover in file.parent.glob("index.sqlite*"):
            leftover.unlink()
        file.write_bytes(content)
        async with await ProjectStore.open(store.folder, home=tmp_path / "home") as again:
            assert await again.tags(task) == {"a": 1}


@pytest.mark.parametrize("year", [1, 1969, 2026, 9999])
async def test_any_year_can_be_kept(store: ProjectStore, task: Task, year: int) -> None:
    moment = datetime(year, 6, 1, tzinfo=UTC)
    run = TaskRun(input="in", output=TaskOutput(output="out"), created_at=moment)
    await store.save(run, parent=task)
    await store.refresh()
    page = await store.page_of_runs(task, RunQuery())
    assert [found.created_at for found in page.records] == [moment]


async def test_a_run_keeps_its_place_among_those_of_its_moment_when_it_is_changed(
    store: ProjectStore, task: Task
) -> None:
    moment = datetime(2026, 6, 1, tzinfo=UTC)
    async with store.transaction() as change:
        made = [
            change.save(
                TaskRun(input=str(n), output=TaskOutput(output="out"), created_at=moment), task
            )
            for n in range(5)
        ]
    before = [run.id for run in (await store.page_of_runs(task, RunQuery())).records]
    await store.save(made[2].replace(tags=("changed",)))
    after = [run.id for run in (await store.page_of_runs(task, RunQuery())).records]
    assert after == before


async def test_what_this_process_saved_is_indexed_as_its_files_say(
    store: ProjectStore, task: Task, tmp_path: Path
) -> None:
    await store.counts(task)  # from here on the index is told what is saved
    await store.save(Task(name="½ of__it / all", instruction="Do."), parent=store.project)
    async with store.transaction() as change:
        new = change.save(TaskRun(input="first", output=TaskOutput(output="out")), task)
        change.save(new.replace(input="second", tags=("a",)))
        change.save(TaskRun(input="x", output=TaskOutput(output="é"), tags=("b",)), task)
    await store.refresh()  # the folders of records that were there have new times
    async with await ProjectStore.open(store.folder, home=tmp_path / "other") as other:
        await other.counts(task)
    indexes = [_rows_of_index(tmp_path / home) for home in ("home", "other")]
    assert indexes[0] == indexes[1]
    assert len(indexes[0]["records"]) == 5


def _rows_of_index(home: Path) -> dict[str, list[str]]:
    """Return the rows of the only index of a home, by table."""
    (file,) = home.glob("projects/*/index.sqlite")
    connection = sqlite3.connect(file)
    tables = ("records", "runs", "facets", "texts")
    rows = {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in tables}
    connection.close()
    return rows
