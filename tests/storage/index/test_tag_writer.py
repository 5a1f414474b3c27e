"""The index has the tags that a bulk change wrote, as if it had read the files again."""

import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from storage import EvalInput, Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.bulk_changes import retag_all
from storage.index.queries import RunQuery
from storage.records.evaluation import SingleTurnData, UserMessage

TABLES = {
    "records": "row, path, parent, kind, id, name, changed_ns, size, below, problem, copy_of",
    "runs": "row, rating, item_id",
    "facets": "facet, row",
    "input_tags": "row, tag",
    "texts": "rowid, input, output",
}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    home = tmp_path / "home"
    async with await ProjectStore.create(tmp_path / "p", Project(name="P"), home=home) as opened:
        yield opened


@pytest.fixture
async def task(store: ProjectStore) -> Task:
    return await store.save(Task(name="T", instruction="Do."), parent=store.project)


async def runs_of(store: ProjectStore, task: Task, count: int) -> list[str]:
    async with store.transaction() as change:
        runs = [
            change.save(
                TaskRun(input=f"in {place}", output=TaskOutput(output="out"), tags=("a", "b")), task
            )
            for place in range(count)
        ]
    await store.refresh()
    return [run.saved.path for run in runs]


def index_of(home: Path) -> dict[str, list[tuple[object, ...]]]:
    (file,) = home.glob("projects/*/index.sqlite")
    connection = sqlite3.connect(file)
    rows = {
        table: connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2").fetchall()
        for table, columns in TABLES.items()
    }
    connection.close()
    return rows


async def rebuilt_index(store: ProjectStore, home: Path) -> dict[str, list[tuple[object, ...]]]:
    async with await ProjectStore.open(store.folder, home=home) as other:
        await other.refresh()
    return index_of(home)


async def test_the_index_after_a_change_of_tags_is_the_one_that_is_built_anew(
    store: ProjectStore, task: Task, tmp_path: Path
) -> None:
    data = SingleTurnData(user_message=UserMessage(text="hi"))
    alone = await store.save(EvalInput(data=data, tags=("a",)), parent=task)
    paths = await runs_of(store, task, 5)
    assert [c async for c in retag_all(store, TaskRun, paths[:3], lambda _: ("b", "ü"))] == [3]
    assert [c async for c in retag_all(store, EvalInput, [alone.saved.path], lambda _: ())] == [1]
    assert await store.tags(task) == {"b": 5, "ü": 3, "a": 2}
    assert index_of(tmp_path / "home") == await rebuilt_index(store, tmp_path / "other")
    assert (await store.refresh()).changed == 0


async def test_words_are_found_below_the_new_tags_and_not_below_the_old_ones(
    store: ProjectStore, task: Task
) -> None:
    paths = await runs_of(store, task, 3)
    assert [c async for c in retag_all(store, TaskRun, paths[:1], lambda _: ("b", "c"))] == [1]
    for tag, count in (("a", 2), ("b", 3), ("c", 1)):
        assert await store.count_runs(task, RunQuery(tags=(tag,), text="out")) == count


async def test_what_another_program_wrote_before_is_read_with_the_tags(
    store: ProjectStore, task: Task
) -> None:
    (path,) = await runs_of(store, task, 1)
    file = store.folder / path
    file.write_text(file.read_text(encoding="utf-8").replace("in 0", "elsewhere"), encoding="utf-8")
    assert [c async for c in retag_all(store, TaskRun, [path], lambda _: ("c",))] == [1]
    assert await store.count_runs(task, RunQuery(tags=("c",), text="elsewhere")) == 1
