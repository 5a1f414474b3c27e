"""History, undo and deletion at the doors."""

from dataclasses import replace

import pytest
from pydantic import JsonValue

from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.workbench.workspace import Workspace
from storage import (
    KilnAgentProperties,
    ProjectStore,
    Prompt,
    Task,
    TaskOutput,
    TaskRun,
    TaskRunConfig,
)
from storage.errors import RecordNotFound, Refusal


@pytest.fixture(autouse=True)
async def shared(workspace: Workspace) -> None:
    await _call(workspace, "sync_project", project="P")


def alone(workspace: Workspace) -> Workspace:
    """Return the workspace of a caller who reaches no person."""
    return replace(workspace, person=None)


async def _call(workspace: Workspace, tool: str, /, **arguments: JsonValue) -> dict[str, JsonValue]:
    return await installed_catalogue().perform(workspace, tool, arguments)


async def _store(workspace: Workspace) -> tuple[ProjectStore, Task]:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    return store, task


async def _changes(workspace: Workspace, **arguments: JsonValue) -> list[dict[str, JsonValue]]:
    answer = await _call(workspace, "show_history", project="P", **arguments)
    changes = answer["changes"]
    assert isinstance(changes, list)
    return [change for change in changes if isinstance(change, dict)]


async def test_what_happened_lately_is_told_of_a_project_and_of_any_record(
    workspace: Workspace,
) -> None:
    store, task = await _store(workspace)
    await _call(workspace, "sync_project", project="P")
    prompt = await store.save(Prompt(name="Short", prompt="Be short."), parent=task)
    answer = await _call(workspace, "show_history", project="P")
    assert answer["not_synced_yet"] == "Add the prompt Short"
    await _call(workspace, "sync_project", project="P")
    await store.save(prompt.replace(prompt="Be very short."))
    await _call(workspace, "sync_project", project="P")
    assert [change["done"] for change in await _changes(workspace)] == [
        "Change the prompt Short",
        "Add the prompt Short",
        "Add the project P, add the task Answer",
    ]
    changed, _ = await _changes(workspace, kind="prompt", record="short")
    assert changed["fields"] == ['prompt: "Be short." → "Be very short."']
    with pytest.raises(Refusal):
        await _changes(workspace, kind="prompt")


async def test_a_deleted_prompt_shows_its_history_and_comes_back_by_undo(
    workspace: Workspace,
) -> None:
    store, task = await _store(workspace)
    await store.save(Prompt(name="Short", prompt="Be short."), parent=task)
    await _call(workspace, "sync_project", project="P")
    await _call(workspace, "delete_records", project="P", kind="prompt", records=["Short"])
    await _call(workspace, "sync_project", project="P")
    await _call(workspace, "empty_trash", project="P")
    deleted, added = await _changes(workspace, kind="prompt", record="Short")
    assert (deleted["done"], added["done"]) == ("delete", "add")
    undone = await _call(workspace, "undo_change", project="P", change=deleted["change"])
    assert undone["done"] == "Add the prompt Short"
    assert [prompt.name for prompt in await store.children(task, Prompt)] == ["Short"]
    (again,) = await store.children(task, Prompt)
    await store.save(again.replace(prompt="Changed."))
    with pytest.raises(Refusal, match="was changed after it was added"):
        await _call(workspace, "undo_change", project="P", change=added["change"])


async def test_an_undo_that_takes_records_away_asks_first_and_another_does_not(
    workspace: Workspace,
) -> None:
    store, task = await _store(workspace)
    await _call(workspace, "sync_project", project="P")
    (first,) = await _changes(workspace)
    arguments: dict[str, JsonValue] = {"project": "P", "change": first["change"]}
    with pytest.raises(MissingApproval, match="Delete the task Answer; the project's own record"):
        await _call(alone(workspace), "undo_change", **arguments)
    assert [one.id for one in await store.children(store.project, Task)] == [task.id]
    await _call(workspace, "undo_change", **arguments)
    trash = await _call(workspace, "find", project="P", kind="trash")
    (deleted,) = _listed(trash["records"])
    assert isinstance(deleted, dict)
    await _call(workspace, "restore", project="P", key=deleted["key"])
    await store.save(task.replace(instruction="Otherwise."))
    await _call(workspace, "undo_change", project="P", change="unsynced")
    assert (await store.get(Task, task.id)).instruction == "Do it."
    await store.save(Prompt(name="Short", prompt="p"), parent=task)
    for _ in range(2):
        with pytest.raises(MissingApproval, match="delete the prompt Short"):
            await _call(alone(workspace), "undo_change", project="P", change="unsynced")


async def test_deleting_what_others_need_says_so_and_asks_first(workspace: Workspace) -> None:
    store, task = await _store(workspace)
    properties = KilnAgentProperties(
        model_name="m", model_provider_name="openai", structured_output_mode="default"
    )
    config = await store.save(
        TaskRunConfig(name="Plain", run_config_properties=properties), parent=task
    )
    await store.save(task.replace(default_run_config_id=config.id))
    await store.save(TaskRun(input="a", output=TaskOutput(output="b")), parent=task)
    arguments: dict[str, JsonValue] = {
        "project": "P",
        "kind": "run_config",
        "records": ["Plain"],
    }
    with pytest.raises(MissingApproval, match="They are referred to by 1 task"):
        await _call(alone(workspace), "delete_records", **arguments)
    answer = await _call(workspace, "delete_records", **arguments)
    assert answer["referrers"] == "1 task"
    with pytest.raises(RecordNotFound):
        await _call(workspace, "delete_records", **arguments)
    with pytest.raises(MissingApproval, match="with 1 run below"):
        await _call(
            alone(workspace), "delete_records", project="P", kind="task", records=["Answer"]
        )
    records = answer["records"]
    assert isinstance(records, list)
    assert isinstance(records[0], dict)
    await _call(workspace, "restore", project="P", key=records[0]["key"])
    assert [one.id for one in await store.children(task, TaskRunConfig)] == [config.id]


async def test_a_record_that_was_broken_by_hand_is_named_and_mended_by_its_history(
    workspace: Workspace,
) -> None:
    store, task = await _store(workspace)
    await _call(workspace, "sync_project", project="P")
    file = store.folder / task.saved.path
    held = file.read_bytes()
    file.write_text("{", encoding="utf-8")
    await store.refresh()
    synced = await _call(workspace, "sync_project", project="P")
    (fault,) = _listed(synced["unreadable"])
    assert str(fault).startswith(f"{task.saved.path}: it is no JSON")
    one: dict[str, JsonValue] = {"kind": "task", "record": task.id}
    broken, _ = await _changes(workspace, **one)
    await _call(workspace, "undo_change", project="P", change=broken["change"], **one)
    assert file.read_bytes() == held
    synced = await _call(workspace, "sync_project", project="P")
    assert "unreadable" not in synced


def _listed(value: JsonValue) -> list[JsonValue]:
    assert isinstance(value, list)
    return value
