"""How much of a project is looked at: after a change of its own what it touched, on a miss all."""

import shutil
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import anyio
import pytest

from kiln_mcp.projects.records.record_kinds import find_record
from storage import Feedback, Project, ProjectStore, Task, TaskOutput, TaskRun
from storage.errors import RecordNotFound
from storage.index.keeper import IndexKeeper
from storage.index.queries import RunQuery
from storage.index.refresh import RefreshResult


class _Walked:
    """The folders that were listed while it was watching."""

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.is_watching = True

    def hear(self, event: str, values: tuple[object, ...]) -> None:
        if self.is_watching and event == "os.scandir":
            self.folders.append(str(values[0]))

    def take(self) -> list[str]:
        taken, self.folders = self.folders, []
        return taken


@pytest.fixture
def walked() -> Generator[_Walked]:
    walked = _Walked()
    sys.addaudithook(walked.hear)
    yield walked
    walked.is_watching = False


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as opened:
        yield opened


@pytest.fixture
async def task(store: ProjectStore) -> Task:
    return await store.save(Task(name="T", instruction="Do."), parent=store.project)


async def _run(store: ProjectStore, task: Task) -> TaskRun:
    return await store.save(TaskRun(input="in", output=TaskOutput(output="out")), parent=task)


async def _copied(store: ProjectStore, run: TaskRun, new_id: str) -> None:
    """Put another run beside a run as another program would."""
    folder = store.side_folder(run)
    shutil.copytree(folder, folder.with_name(new_id))
    file = anyio.Path(folder.with_name(new_id) / "task_run.kiln")
    await file.write_text((await file.read_text()).replace(run.id, new_id))


async def test_after_a_deletion_and_a_return_only_what_was_touched_is_looked_at(
    store: ProjectStore, task: Task, walked: _Walked
) -> None:
    run, other = await _run(store, task), await _run(store, task)
    feedback = await store.save(Feedback(feedback="good", source="run-page"), parent=run)
    runs = f"{store.side_folder(task)}/runs"
    await store.refresh()
    assert runs in walked.take()
    trashed = await store.delete(run)
    page = await store.page_of_runs(task, RunQuery())
    assert [one.id for one in page.records] == [other.id]
    assert await store.counts(run) == {}
    await store.restore(trashed.key)
    page = await store.page_of_runs(task, RunQuery())
    assert {one.id for one in page.records} == {run.id, other.id}
    assert (await store.get(Feedback, feedback.id)).feedback == "good"
    assert runs not in walked.take()
    assert await store.refresh() == RefreshResult(changed=0, removed=0)


async def test_what_comes_back_into_a_folder_with_leftovers_is_known_at_once(
    store: ProjectStore, task: Task
) -> None:
    run = await _run(store, task)
    feedback = await store.save(Feedback(feedback="good", source="run-page"), parent=run)
    await store.refresh()
    trashed = await store.delete(run)
    await anyio.Path(store.side_folder(run)).mkdir()
    await anyio.Path(store.side_folder(run) / "leftover.txt").write_text("x")
    await store.restore(trashed.key)
    assert await store.counts(task) == {"task_run": 1}
    assert await store.counts(run) == {"feedback": 1}
    await store.delete(feedback)
    assert await store.counts(run) == {}


async def test_a_task_that_comes_back_brings_all_below_it(store: ProjectStore, task: Task) -> None:
    runs = [await _run(store, task) for _ in range(3)]
    await store.refresh()
    trashed = await store.delete(task)
    assert "task" not in await store.counts(store.project)
    await store.restore(trashed.key)
    assert await store.counts(task) == {"task_run": 3}
    assert (await store.get(TaskRun, runs[1].id)).id == runs[1].id


async def test_before_it_is_said_that_something_is_not_there_it_is_looked_for(
    store: ProjectStore, task: Task
) -> None:
    run = await _run(store, task)
    await store.refresh()
    await _copied(store, run, "123123123123")
    assert (await store.get(TaskRun, "123123123123")).id == "123123123123"


async def test_before_it_is_said_that_nothing_has_a_name_it_is_looked_for(
    store: ProjectStore, task: Task
) -> None:
    await store.refresh()
    folder = store.side_folder(task)
    shutil.copytree(folder, folder.with_name("copy"))
    file = anyio.Path(folder.with_name("copy") / "task.kiln")
    text = (await file.read_text()).replace(task.id, "456456456456").replace('"T"', '"Other"')
    await file.write_text(text)
    assert (await find_record(store, "task", "other")).id == "456456456456"


async def test_a_task_that_another_program_made_is_found_by_its_name(
    store: ProjectStore, task: Task
) -> None:
    await store.refresh()
    folder = store.side_folder(task)
    shutil.copytree(folder, folder.with_name("copy"))
    file = anyio.Path(folder.with_name("copy") / "task.kiln")
    text = (await file.read_text()).replace(task.id, "456456456456").replace('"T"', '"Other"')
    await file.write_text(text)
    assert (await store.find(Task, "Other", parent=store.project)).name == "Other"
    with pytest.raises(RecordNotFound):
        await store.find(Task, "none", parent=store.project)


class _Clock:
    """A clock on which every look takes ten seconds, until it stands still."""

    def __init__(self) -> None:
        self.now, self.step = 0.0, 10.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


async def test_of_many_misses_in_a_row_not_each_looks_at_the_whole_project(
    store: ProjectStore, task: Task, tmp_path: Path, walked: _Walked
) -> None:
    await _run(store, task)
    clock, runs = _Clock(), f"{store.side_folder(task)}/runs"
    keeper = IndexKeeper(store.folder, tmp_path / "index.sqlite", clock)
    walked.take()
    for _ in range(2):
        clock.step = 10
        await keeper.look_again()
        clock.step = 0
        for _ in range(5):
            await keeper.look_again()
        assert walked.take().count(runs) == 1
        clock.now += 20
    await keeper.close()


async def test_what_the_index_may_learn_later_is_on_the_disk_and_in_the_next_answer(
    store: ProjectStore, task: Task, walked: _Walked
) -> None:
    first = await _run(store, task)
    await store.refresh()
    walked.take()
    change = store.new_change()
    late = change.save(TaskRun(input="late", output=TaskOutput(output="out")), task)
    await store.make(change, may_lag=True)
    assert (store.folder / late.saved.path).is_file()
    tagged = store.new_change()
    tagged.retag(TaskRun, late.saved.path, lambda _: ("new",))
    await store.make(tagged, may_lag=True)
    early = await _run(store, task)
    page = await store.page_of_runs(task, RunQuery())
    tags = {run.id: run.tags for run in page.records}
    assert tags == {first.id: (), late.id: ("new",), early.id: ()}
    assert walked.take() == []
    assert await store.refresh() == RefreshResult(changed=0, removed=0)


async def test_what_the_index_had_not_learned_is_found_by_the_next_process(
    store: ProjectStore, task: Task, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    async with await ProjectStore.open(store.folder, home=home) as first:
        assert await first.counts(task) == {}
        change = first.new_change()
        change.save(TaskRun(input="late", output=TaskOutput(output="out")), task)
        await first.make(change, may_lag=True)
    async with await ProjectStore.open(store.folder, home=home) as second:
        assert await second.counts(task) == {"task_run": 1}
