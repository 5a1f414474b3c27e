"""Every argument that names a record takes its id, its name, and its handle."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.workbench.plain_text import plain
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Prompt, Record, Spec, Task, TaskOutput, TaskRun
from storage.errors import RecordNotFound, Refusal

CHECK = {"type": "contains", "substring": "late", "value_expression": "final_message"}
SPEC = {
    "name": "No refunds",
    "definition": "No reply promises a refund.",
    "properties": {
        "spec_type": "desired_behaviour",
        "desired_behaviour_description": "No reply promises a refund.",
    },
}


async def _call(workspace: Workspace, tool: str, **arguments: JsonValue) -> dict[str, Any]:
    item = installed_catalogue().find(tool)
    return plain(await item.invoke(workspace, {"project": "P", **arguments}))


async def _make_records(workspace: Workspace) -> tuple[ProjectStore, Mapping[str, Record]]:
    store = await workspace.open_project("P")
    task = await store.find(Task, "answer")
    spec = await store.save(Spec.model_validate(SPEC), parent=task)
    prompt = await store.save(Prompt(name="Short replies", prompt="Be short."), parent=task)
    run = await store.save(
        TaskRun(input="Where?", output=TaskOutput(output="Late."), tags=("test_a",)), parent=task
    )
    return store, {"task": task, "spec": spec, "prompt": prompt, "run": run}


async def test_a_whole_session_names_its_records_by_handles(workspace: Workspace) -> None:
    store, records = await _make_records(workspace)
    run = records["run"].id
    created = await _call(
        workspace,
        "create_evaluator",
        eval="Correct",
        name="Has late",
        task="task/answer",
        spec="spec/no-refunds",
        test_filter="tag::test_a",
        **CHECK,
    )
    assert created["handle"] == "evaluator/has-late"
    config = await _call(
        workspace,
        "create_run_config",
        task="task/answer",
        name="Short one",
        prompt_id="prompt/short-replies",
    )
    assert config["handle"] == "run-config/short-one"
    assert config["prompt"] == "Be short."
    report = await _call(workspace, "show_results", eval="eval/correct", evaluator="judge/has-late")
    assert report["evals"][0]["handle"] == "eval/correct"
    assert report["evaluators"][0]["handle"] == "evaluator/has-late"
    read = await _call(workspace, "read", kind="spec", record="spec/no-refunds")
    assert read["record"]["name"] == "No refunds"
    assert (await _call(workspace, "read", record=f"run/{run}"))["id"] == run
    tagged = await _call(workspace, "mark_runs", runs=[f"run/{run}"], add_tags=["seen"])
    assert tagged["tags"] == ["test_a", "seen"]
    frozen = await store.find(Spec, "SPEC/No Refunds")
    assert frozen.eval_id == created["eval_id"]
    deleted = await _call(
        workspace, "delete_records", kind="run_config", records=["run-config/short_one"]
    )
    assert deleted["deleted"] == 1


async def test_one_of_two_records_of_a_name_is_deleted_by_its_handle(workspace: Workspace) -> None:
    store, records = await _make_records(workspace)
    first = records["prompt"]
    prompt = Prompt(name="Short replies", prompt="Be brief.")
    second = await store.save(prompt, parent=records["task"])
    handle = f"prompt/short-replies-{second.id[-4:]}"
    deleted = await _call(workspace, "delete_records", kind="prompt", records=[handle])
    assert deleted["deleted"] == 1
    assert (await store.find(Prompt, "Short replies")).id == first.id


async def test_a_handle_of_no_eval_does_not_become_the_name_of_a_new_one(
    workspace: Workspace,
) -> None:
    await _make_records(workspace)
    with pytest.raises(RecordNotFound, match="There is no eval 'eval/corect'"):
        await _call(workspace, "create_evaluator", eval="eval/corect", **CHECK)


async def test_a_name_of_two_records_is_refused_with_what_names_each(workspace: Workspace) -> None:
    store, records = await _make_records(workspace)
    twin = await store.save(Spec.model_validate(SPEC), parent=records["task"])
    listed = await _call(workspace, "find", kind="spec")
    handles = {row["id"]: row["handle"] for row in listed["records"]}
    with pytest.raises(Refusal, match="named 'spec/no-refunds'") as caught:
        await _call(workspace, "read", kind="spec", record="spec/no-refunds")
    for handle in handles.values():
        assert handle in str(caught.value)
    read = await _call(workspace, "read", kind="spec", record=handles[twin.id])
    assert read["record"]["id"] == twin.id
