"""What is saved fits the records above it."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

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
from storage.text.json_schema import problem_with

_SCHEMA = json.dumps(
    {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ProjectStore]:
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as opened:
        yield opened


@pytest.fixture
async def task(store: ProjectStore) -> Task:
    task = Task(name="T", instruction="Do.", input_json_schema=_SCHEMA, output_json_schema=_SCHEMA)
    return await store.save(task, parent=store.project)


def _run(given: str = '{"n": 1}', answer: str = '{"n": 2}') -> TaskRun:
    return TaskRun(input=given, output=TaskOutput(output=answer))


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (_run(given="one"), "input is not the JSON"),
        (_run(answer='{"n": "two"}'), "output does not fit the task's schema: 'two' is not"),
        (_run(answer="[" * 100_000), "output is not the JSON"),
    ],
)
async def test_a_run_that_breaks_its_tasks_schemas_is_refused(
    store: ProjectStore, task: Task, run: TaskRun, reason: str
) -> None:
    with pytest.raises(StorageError, match=reason):
        await store.save(run, parent=task)
    assert await store.children(task, TaskRun) == []


async def test_a_repair_that_breaks_the_schema_is_refused(store: ProjectStore, task: Task) -> None:
    run = await store.save(_run(), parent=task)
    wrong = run.replace(repair_instructions="mend", repaired_output=TaskOutput(output="no"))
    with pytest.raises(StorageError, match="repaired output is not the JSON"):
        await store.save(wrong)


async def test_an_old_run_that_breaks_a_newer_schema_can_still_be_tagged(
    store: ProjectStore, task: Task
) -> None:
    run = await store.save(_run(), parent=task)
    file = anyio.Path(store.folder / run.saved.path)
    text = await file.read_text(encoding="utf-8")
    await file.write_text(text.replace('{\\"n\\": 2}', "old"), encoding="utf-8")
    (held,) = await store.children(task, TaskRun)
    assert held.output.output == "old"
    assert (await store.save(held.replace(tags=("kept",)))).tags == ("kept",)


async def test_a_result_has_exactly_its_evals_scores(store: ProjectStore, task: Task) -> None:
    measured = await store.save(
        Eval(
            name="Right",
            output_scores=(EvalOutputScore(name="Right", type="pass_fail"),),
            splits={"test": TaskRunSplit(filter_id="tag::test")},
        ),
        parent=task,
    )
    judge = await store.save(
        EvalConfig(name="J", config_type="v2", properties=ExactMatch(expected_value="x")),
        parent=measured,
    )

    def result(scores: dict[str, float], skipped: str | None = None) -> EvalRun:
        return EvalRun(dataset_id="1", eval_config_eval=True, scores=scores, skipped_reason=skipped)

    for scores, reason in (
        ({"right": 2.0}, "right must be from 0 to 1"),
        ({"right": float("nan")}, "right must be from"),
        ({"right": 1.0, "kind": 1.0}, "exactly the keys right"),
        ({}, "exactly the keys right"),
    ):
        with pytest.raises(StorageError, match=reason):
            await store.save(result(scores), parent=judge)
    await store.save(result({"right": 1.0}), parent=judge)
    await store.save(result({}, skipped="the model refused"), parent=judge)


def test_a_schema_that_points_elsewhere_is_never_fetched() -> None:
    with pytest.raises(ValueError, match="refers to what is not in it"):
        problem_with({}, {"$ref": "http://127.0.0.1:9/schema.json"})


def test_a_problem_with_a_huge_value_is_said_in_short() -> None:
    problem = problem_with("x" * 10_000, {"type": "integer"})
    assert problem is not None
    assert len(problem) < 400
