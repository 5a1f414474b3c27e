"""Several homes at work on one project: nothing is made, scored or paid for twice."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import anyio
from pydantic import JsonValue

from kiln_mcp.evals.service import run_eval
from kiln_mcp.judging.answers import AgreementReport
from kiln_mcp.judging.service import check_judge, label_items
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.workbench.workspace import Workspace
from storage import Task
from storage.errors import Refusal
from storage.index.queries import RunQuery

ITEMS, CONFIGS = 12, 2


class SharedProject(Protocol):
    """The project, as conftest.py makes it."""

    @property
    def folder(self) -> object: ...
    @property
    def model(self) -> "CountedModel": ...
    @property
    def open_home(self) -> Callable[[str], Awaitable[Workspace]]: ...
    async def results(self) -> tuple[list[str], list[tuple[str, str | None]]]: ...
    async def inputs(self) -> list[str]: ...


class CountedModel(Protocol):
    """The model, as conftest.py makes it."""

    asked: list[str]


async def test_two_homes_that_run_one_eval_at_once_pay_for_each_item_once(
    shared: SharedProject,
) -> None:
    first, second = await shared.open_home("first"), await shared.open_home("second")
    async with anyio.create_task_group() as group:
        group.start_soon(run_eval.invoke, first, _call(shared))
        group.start_soon(run_eval.invoke, second, _call(shared))
    made, verdicts = await shared.results()
    assert len(made) == len(verdicts) == len(set(verdicts)) == ITEMS * CONFIGS
    assert len(shared.model.asked) == 2 * ITEMS * CONFIGS


async def test_what_one_home_leaves_when_it_is_stopped_another_that_waits_does(
    shared: SharedProject,
) -> None:
    first, second = await shared.open_home("first"), await shared.open_home("second")
    is_stopped = False

    async def stop(done: float, total: float | None, message: str | None) -> None:
        nonlocal is_stopped
        if done >= ITEMS and not is_stopped:
            is_stopped = True
            group.start_soon(run_eval.invoke, second, _call(shared))
            scope.cancel()

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            await run_eval.invoke(replace(first, report=stop), _call(shared))
    made, verdicts = await shared.results()
    assert len(made) == len(verdicts) == len(set(verdicts)) == ITEMS * CONFIGS


async def test_two_homes_that_measure_one_judge_at_once_judge_each_item_once(
    shared: SharedProject,
) -> None:
    first, second = await shared.open_home("first"), await shared.open_home("second")
    store = await first.open_project(str(shared.folder))
    (task,) = await store.children(store.project, Task)
    golden = await store.runs(task, RunQuery("tag::golden"))
    labels: list[JsonValue] = [{"item": run.id, "label": "pass"} for run in golden]
    await label_items.invoke(first, {**_call(shared), "labels": labels, "rater": "ann"})
    async with anyio.create_task_group() as group:
        group.start_soon(check_judge.invoke, first, _call(shared))
        group.start_soon(check_judge.invoke, second, _call(shared))
    _, verdicts = await shared.results()
    assert len(verdicts) == len(set(verdicts)) == len(shared.model.asked) == len(golden) == 4


async def test_verdicts_that_another_home_made_since_the_plan_are_measured(
    shared: SharedProject,
) -> None:
    first, second = await shared.open_home("first"), await shared.open_home("second")
    store = await first.open_project(str(shared.folder))
    (task,) = await store.children(store.project, Task)
    golden = await store.runs(task, RunQuery("tag::golden"))
    labels: list[JsonValue] = [{"item": run.id, "label": "pass"} for run in golden]
    await label_items.invoke(first, {**_call(shared), "labels": labels, "rater": "ann"})
    proposal = await check_judge.propose(second, _call(shared))
    await check_judge.invoke(first, _call(shared))
    report = await proposal.carry_out()
    assert isinstance(report, AgreementReport)
    assert report.new_verdicts == 0
    assert [row.n for row in report.rows] == [len(golden)]


async def test_two_homes_that_generate_at_once_make_no_input_twice(shared: SharedProject) -> None:
    before = len(await shared.inputs())

    async def generate(home: str) -> None:
        workspace = await shared.open_home(home)
        with suppress(Refusal):  # the model gave the second home what the first one has saved
            await generate_data(workspace, str(shared.folder), count=4, topics=["parcels"])

    async with anyio.create_task_group() as group:
        group.start_soon(generate, "first")
        group.start_soon(generate, "second")
    inputs = await shared.inputs()
    assert len(inputs) == before + 4
    assert len(set(inputs)) == len(inputs)


def _call(shared: SharedProject) -> dict[str, JsonValue]:
    return {"project": str(shared.folder), "eval": "Right"}
