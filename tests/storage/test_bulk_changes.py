"""Changes of many records happen in whole batches, after all of them were found."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from storage import Change, Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.bulk_changes import amend_all, change_in_turn, paths_of, retag_all
from storage.errors import RecordNotFound, StaleRevision


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    home = tmp_path / "home"
    async with await ProjectStore.create(tmp_path / "p", Project(name="P"), home=home) as opened:
        yield opened


@pytest.fixture
async def runs(store: ProjectStore) -> list[TaskRun]:
    task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
    async with store.transaction() as change:
        return [
            change.save(TaskRun(input=str(n), output=TaskOutput(output="out")), task)
            for n in range(5)
        ]


def with_tag(run: TaskRun) -> TaskRun:
    return run.replace(tags=("new",))


async def tagged_inputs(store: ProjectStore, runs: list[TaskRun]) -> set[str]:
    records = await store.read_all(TaskRun, [run.saved.path for run in runs])
    return {record.input for record in records.values() if record.tags}


async def test_an_id_that_nothing_has_is_refused_before_anything_is_changed(
    store: ProjectStore, runs: list[TaskRun]
) -> None:
    with pytest.raises(RecordNotFound):
        await paths_of(store, TaskRun, [*(run.id for run in runs), "none"])
    ids = [runs[3].id, runs[0].id, runs[3].id]
    assert await paths_of(store, TaskRun, ids) == [runs[3].saved.path, runs[0].saved.path]


async def test_a_batch_that_cannot_be_written_leaves_those_before_it_whole(
    store: ProjectStore, runs: list[TaskRun]
) -> None:
    paths = [run.saved.path for run in runs]
    await store.delete(runs[3])
    batches = amend_all(store, TaskRun, paths, with_tag, batch_size=2)
    assert await anext(batches) == 2
    with pytest.raises(StaleRevision):
        await anext(batches)
    assert await tagged_inputs(store, runs) == {"0", "1"}


async def test_records_that_are_as_they_should_be_are_not_counted(
    store: ProjectStore, runs: list[TaskRun]
) -> None:
    paths = [run.saved.path for run in runs]
    await store.save(with_tag(runs[0]))
    assert [count async for count in amend_all(store, TaskRun, paths, with_tag)] == [4]


async def test_tags_that_cannot_be_written_leave_the_batches_before_them_whole(
    store: ProjectStore, runs: list[TaskRun]
) -> None:
    paths = [run.saved.path for run in runs]
    await store.delete(runs[3])
    batches = retag_all(store, TaskRun, paths, lambda _: ("new",), batch_size=2)
    assert await anext(batches) == 2
    with pytest.raises(StaleRevision):
        await anext(batches)
    assert await tagged_inputs(store, runs) == {"0", "1"}


async def test_records_that_have_the_tags_are_not_counted(
    store: ProjectStore, runs: list[TaskRun]
) -> None:
    paths = [run.saved.path for run in runs]
    await store.save(with_tag(runs[0]))
    assert [count async for count in retag_all(store, TaskRun, paths, lambda _: ("new",))] == [4]


async def test_a_rating_that_comes_between_stays_beside_the_new_tags(
    store: ProjectStore, runs: list[TaskRun]
) -> None:
    path = runs[0].saved.path
    change = store.new_change()
    assert change.retag(TaskRun, path, lambda tags: (*tags, "new"), runs[0].saved.revision)
    await store.save(runs[0].replace(tags=("between",), input="other"))
    await store.make(change)
    (record,) = (await store.read_all(TaskRun, [path])).values()
    assert (record.input, record.tags) == ("other", ("between", "new"))


async def test_a_change_of_a_turn_may_read_what_the_one_before_it_wrote(
    store: ProjectStore, runs: list[TaskRun]
) -> None:
    path = runs[0].saved.path

    def add(change: Change) -> bool:
        return change.retag(TaskRun, path, lambda tags: (*tags, f"t{len(tags)}"))

    assert [outcome async for outcome in change_in_turn(store, [add, add, add])] == [True] * 3
    (record,) = (await store.read_all(TaskRun, [path])).values()
    assert record.tags == ("t0", "t1", "t2")
