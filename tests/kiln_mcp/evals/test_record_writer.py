"""What a run makes is saved in groups, and none of it is lost when the run ends early."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import anyio
import pytest

from kiln_mcp.evals.record_writer import A_GROUP, MOST_WAITING, RecordWriter, record_writer
from storage import (
    Eval,
    EvalConfig,
    EvalOutputScore,
    EvalRun,
    ExactMatch,
    Project,
    ProjectStore,
    Task,
    TaskOutput,
    TaskRun,
    TaskRunSplit,
)
from storage.errors import StorageError


class Place:
    """A project with a judge, and what was told about saved groups."""

    def __init__(self, store: ProjectStore, task: Task, judge: EvalConfig) -> None:
        self.store = store
        self.task = task
        self.judge = judge
        self.saved = 0
        self.groups: list[int] = []

    def count(self) -> None:
        self.saved += 1

    async def after_group(self) -> None:
        self.groups.append(self.saved)

    def verdict(self, item: int, score: float = 1.0) -> EvalRun:
        return EvalRun(dataset_id=str(item), task_run_config_id="1", scores={"right": score})

    async def verdicts(self) -> list[EvalRun]:
        return await self.store.children(self.judge, EvalRun)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncGenerator[Place]:
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = await store.save(Task(name="T", instruction="Do."), parent=store.project)
        score = EvalOutputScore(name="Right", type="pass_fail")
        split = TaskRunSplit(filter_id="all")
        parent = await store.save(
            Eval(name="E", output_scores=(score,), splits={"test": split}), parent=task
        )
        check = EvalConfig(name="J", config_type="v2", properties=ExactMatch(expected_value="x"))
        yield Place(store, task, await store.save(check, parent=parent))


async def test_records_that_come_together_are_saved_together(place: Place) -> None:
    async with record_writer(place.store, place.after_group) as writer:
        for item in range(50):
            writer.add(place.verdict(item), place.judge, place.count)
            await writer.wait_for_room()
    assert place.groups == [50]
    assert len(await place.verdicts()) == 50


async def test_a_full_group_waits_for_no_other_record(place: Place) -> None:
    saved = anyio.Event()

    async def after_group() -> None:
        saved.set()

    async with anyio.create_task_group() as group:
        writer = RecordWriter(place.store, after_group, gathered_s=3600)
        group.start_soon(writer.run)
        for item in range(A_GROUP):
            writer.add(place.verdict(item), place.judge, place.count)
        with anyio.fail_after(60):
            await saved.wait()
        assert place.saved == A_GROUP
        writer.close()


async def test_a_run_waits_once_very_many_records_wait(place: Place) -> None:
    async with record_writer(place.store, place.after_group) as writer:
        for item in range(MOST_WAITING + 1):
            writer.add(place.verdict(item), place.judge, place.count)
        with anyio.fail_after(60):
            await writer.wait_for_room()
        assert place.saved == MOST_WAITING + 1


async def test_what_was_taken_is_saved_although_the_run_is_cancelled(place: Place) -> None:
    with anyio.CancelScope() as scope:
        async with record_writer(place.store, place.after_group) as writer:
            for item in range(5):
                writer.add(place.verdict(item), place.judge, place.count)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert place.saved == len(await place.verdicts()) == 5


async def test_what_was_taken_is_saved_although_the_run_fails(place: Place) -> None:
    with pytest.raises(ZeroDivisionError):
        await _run(place, [place.verdict(1)], failure=ZeroDivisionError())
    assert len(await place.verdicts()) == 1


async def test_a_record_that_does_not_fit_fails_the_run_and_costs_no_other(place: Place) -> None:
    with pytest.raises(StorageError, match="right must be from 0 to 1"):
        await _run(place, [place.verdict(1, score=7), place.verdict(2)])
    assert [verdict.dataset_id for verdict in await place.verdicts()] == ["2"]


async def test_an_output_is_there_before_the_verdict_that_names_it(place: Place) -> None:
    order: list[str] = []
    run = TaskRun(input="in", output=TaskOutput(output="out"))
    async with record_writer(place.store, place.after_group) as writer:
        verdict = place.verdict(1).replace(scored_run_id=run.id)
        writer.add(verdict, place.judge, lambda: order.append("verdict"))
        writer.add(run, place.task, lambda: order.append("output"))
    assert order == ["output", "verdict"]


async def _run(place: Place, verdicts: Sequence[EvalRun], failure: Exception | None = None) -> None:
    """Hand verdicts to a writer, and fail then if there is a failure."""
    async with record_writer(place.store, place.after_group) as writer:
        for verdict in verdicts:
            writer.add(verdict, place.judge, place.count)
        if failure is not None:
            raise failure
