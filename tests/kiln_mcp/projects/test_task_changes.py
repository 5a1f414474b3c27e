"""Changes to a task's schemas, as every door makes them."""

from collections.abc import Mapping

import pytest
from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.workbench.workspace import Workspace
from storage import EvalInput, Task, TaskOutput, TaskRun
from storage.errors import Refusal, WorkbenchError
from storage.records.evaluation import SingleTurnData, UserMessage

_NUMBER: JsonValue = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
}


async def _change(workspace: Workspace, **arguments: JsonValue) -> Mapping[str, JsonValue]:
    return await installed_catalogue().perform(
        workspace, "change_task", {"project": "P", **arguments}
    )


async def _task(workspace: Workspace) -> Task:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    return task


async def _add_runs(workspace: Workspace, *outputs: str) -> list[TaskRun]:
    store, task = await workspace.open_project("P"), await _task(workspace)
    return [
        await store.save(TaskRun(input="i", output=TaskOutput(output=text)), parent=task)
        for text in outputs
    ]


async def test_items_that_would_not_fit_are_named_before_anything_changes(
    workspace: Workspace,
) -> None:
    good, bad = await _add_runs(workspace, '{"n": 1}', "one")
    answer = await _change(workspace, output_schema=_NUMBER)
    assert (answer["is_changed"], answer["checked_items"], answer["misfit_count"]) == (False, 2, 1)
    assert isinstance(answer["misfits"], list)
    assert str(answer["misfits"][0]).startswith(f"run {bad.id}: its output is not the JSON")
    assert good.id not in str(answer["misfits"])
    assert (await _task(workspace)).output_json_schema is None
    store = await workspace.open_project("P")
    assert all(run.tags == () for run in await store.children(await _task(workspace), TaskRun))


async def test_a_schema_that_all_items_fit_is_taken_at_once(workspace: Workspace) -> None:
    await _add_runs(workspace, '{"n": 1}')
    answer = await _change(workspace, output_schema=_NUMBER)
    assert (answer["is_changed"], answer["misfit_count"]) == (True, 0)
    task = await _task(workspace)
    assert task.output_json_schema is not None
    assert '"integer"' in task.output_json_schema
    store = await workspace.open_project("P")
    with pytest.raises(WorkbenchError, match="not the JSON"):
        await store.save(TaskRun(input="i", output=TaskOutput(output="one")), parent=task)


async def test_items_that_do_not_fit_are_kept_under_a_tag_where_that_is_asked(
    workspace: Workspace,
) -> None:
    good, bad = await _add_runs(workspace, '{"n": 1}', "one")
    store, task = await workspace.open_project("P"), await _task(workspace)
    message = SingleTurnData(user_message=UserMessage(text="word"))
    case = await store.save(EvalInput(data=message), parent=task)
    answer = await _change(workspace, output_schema=_NUMBER, input_schema=_NUMBER, misfits="tag")
    assert (answer["is_changed"], answer["misfit_count"]) == (True, 3)
    tags = {run.id: run.tags for run in await store.children(await _task(workspace), TaskRun)}
    assert tags == {good.id: ("does_not_fit_schema",), bad.id: ("does_not_fit_schema",)}
    assert (await store.get(EvalInput, case.id)).tags == ("does_not_fit_schema",)
    again = await _change(workspace, plain_text=["input", "output"])
    assert (again["is_changed"], again["misfit_count"]) == (True, 0)
    assert all(run.tags == () for run in await store.children(await _task(workspace), TaskRun))
    assert (await store.get(EvalInput, case.id)).tags == ()


async def test_of_tagged_items_those_that_fit_a_later_schema_lose_the_tag(
    workspace: Workspace,
) -> None:
    number, word = await _add_runs(workspace, '{"n": 1}', '{"n": "one"}')
    store = await workspace.open_project("P")
    text: JsonValue = {"type": "object", "properties": {"n": {"type": "string"}}}
    await _change(workspace, output_schema=text, misfits="tag")
    await _change(workspace, output_schema=_NUMBER, misfits="tag")
    tags = {run.id: run.tags for run in await store.children(await _task(workspace), TaskRun)}
    assert tags == {number.id: (), word.id: ("does_not_fit_schema",)}


async def test_a_change_of_nothing_and_a_schema_that_is_none_are_refused(
    workspace: Workspace,
) -> None:
    with pytest.raises(WorkbenchError, match="Nothing was changed"):
        await _change(workspace)
    with pytest.raises(WorkbenchError, match="in `plain_text` and has a schema"):
        await _change(workspace, output_schema=_NUMBER, plain_text=["output"])
    with pytest.raises(Refusal, match="output schema cannot be used"):
        await _change(workspace, output_schema={"type": "array"})


async def _task_with_misfits(workspace: Workspace) -> tuple[Task, TaskRun]:
    """Return the task with an output schema, and an item that does not fit it."""
    (bad,) = await _add_runs(workspace, "one")
    await _change(workspace, output_schema=_NUMBER, misfits="tag")
    return await _task(workspace), bad


async def test_a_new_instruction_is_taken_whatever_the_items_are(workspace: Workspace) -> None:
    await _task_with_misfits(workspace)
    answer = await _change(workspace, instruction="Say one.")
    assert (answer["is_changed"], answer["checked_items"]) == (True, 0)
    assert (await _task(workspace)).instruction == "Say one."


async def test_items_are_checked_against_the_schema_that_changes_alone(
    workspace: Workspace,
) -> None:
    await _task_with_misfits(workspace)
    schema: JsonValue = {"type": "object", "properties": {"i": {"type": "string"}}}
    answer = await _change(workspace, input_schema=schema)
    assert (answer["is_changed"], answer["misfit_count"]) == (False, 1)
    assert "its input is not the JSON" in str(answer["misfits"])
    same = await _change(workspace, output_schema=_NUMBER, instruction="Say one.")
    assert (same["is_changed"], same["checked_items"]) == (True, 0)
