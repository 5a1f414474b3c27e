"""A job's arguments name records by their ids, so that it goes on after a rename."""

import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.operations.job_control.capability_calls import call_capability
from kiln_mcp.operations.job_control.job_client import job_client_of
from kiln_mcp.operations.job_control.record_ids import RECORD_ARGUMENTS, with_record_ids
from kiln_mcp.workbench.capability import AnyCapability, Runs
from kiln_mcp.workbench.workspace import Workspace
from storage import Eval, EvalConfig, Task, TaskRunConfig

JOBS = [item for item in installed_catalogue().capabilities if item.runs is Runs.AS_JOB]
TEXTS = frozenset(
    {
        *("project", "wish", "sources", "kind", "fields", "name", "session", "answers", "edits"),
        *("model", "topics", "guidance", "examples", "inputs", "plan", "outputs", "part"),
        *("purpose", "rater", "show", "concerns", "reflect_with", "goals", "provider"),
        *("base_model", "base_models", "thinking", "parameters", "grid"),
    }
)
"""Arguments of jobs that are texts or data, and name no record of the project."""


@pytest.mark.parametrize("item", JOBS, ids=lambda item: item.name)
def test_each_text_of_a_job_names_a_record_by_its_kind_or_is_known_to_name_none(
    item: AnyCapability,
) -> None:
    properties = item.input_schema["properties"]
    assert isinstance(properties, dict)
    texts = {name for name, part in properties.items() if {"string", "array"} & _types(part)}
    assert texts - TEXTS - RECORD_ARGUMENTS.keys() - set(item.options) == set()


def _types(part: JsonValue) -> set[str]:
    """Return the JSON types that a schema allows."""
    kinds = json.dumps(part)
    return {name for name in ("string", "array") if f'"{name}"' in kinds}


async def _project(workspace: Workspace) -> None:
    tools = installed_catalogue()
    check: dict[str, JsonValue] = {"type": "contains", "substring": "a"}
    for task in ("Answer", "Other"):
        place: dict[str, JsonValue] = {"project": "P", "task": task}
        if task == "Other":
            await tools.perform(workspace, "create_project", {**place, "instruction": "x"})
        await tools.perform(
            workspace, "add_data", {**place, "items": [{"input": "q", "output": "a"}]}
        )
        start: dict[str, JsonValue] = {**place, "name": "Start", "model": "host"}
        await tools.perform(workspace, "create_run_config", start)
        new: dict[str, JsonValue] = {**place, "eval": f"Right {task}", **check}
        await tools.perform(workspace, "create_evaluator", new)


async def test_records_of_the_evals_task_are_meant_where_names_are_not_unique(
    workspace: Workspace,
) -> None:
    await _project(workspace)
    store = await workspace.open_project("P")
    tasks = {task.name: task for task in await store.children(store.project, Task)}
    other = await store.find(Eval, "Right Other")
    [start] = await store.children(tasks["Other"], TaskRunConfig)
    [check] = await store.children(other, EvalConfig)
    values = await with_record_ids(
        store,
        {"eval": "right-other", "run_configs": ["Start"], "evaluators": [check.name], "seed": 1},
    )
    assert values == {
        "eval": other.id,
        "run_configs": [start.id],
        "evaluators": [check.id],
        "seed": 1,
    }
    left: dict[str, JsonValue] = {"run_config": "Start", "spec": "Missing", "task": None}
    assert await with_record_ids(store, left) == left


async def test_a_job_goes_on_after_its_run_config_was_renamed(workspace: Workspace) -> None:
    await _project(workspace)
    arguments: dict[str, JsonValue] = {
        "project": "P",
        "task": "Answer",
        "inputs": ["one"],
        "run_config": "Start",
        "count": 1,
    }
    generate = installed_catalogue().find("generate_data")
    outcome = await call_capability(workspace, generate, arguments, wait_s=0)
    runner = await job_client_of(workspace).runner()
    job = await runner.find(outcome.job)
    await runner.cancel(job.id)
    store = await workspace.open_project("P")
    task = await store.find(Task, "Answer")
    [start] = await store.children(task, TaskRunConfig)
    _rename(store.folder / start.saved.path, "Renamed")
    await store.look_again()
    assert (await store.find(TaskRunConfig, "Renamed")).id == start.id
    proposal = await generate.propose(workspace, job.arguments)
    assert "1" in proposal.plan.summary


def _rename(file: Path, name: str) -> None:
    """Rename a record as another program does."""
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**content, "name": name}), encoding="utf-8")
