"""Collaboration at the doors: what a sync answers, and how a question is put and decided."""

import subprocess
from pathlib import Path

from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Task
from storage.collaboration.sync import Sharing, fetch_project


async def _call(workspace: Workspace, tool: str, /, **arguments: JsonValue) -> dict[str, JsonValue]:
    return await installed_catalogue().perform(workspace, tool, {"project": "P", **arguments})


async def test_a_project_that_is_kept_on_this_machine_is_not_called_offline(
    workspace: Workspace,
) -> None:
    await _call(workspace, "share_project")
    for _ in range(2):
        answer = await _call(workspace, "sync_project")
        assert not {"is_sent", "waiting", "offline"} & answer.keys()
        assert str(answer["notice"]).startswith("The history is kept on this machine alone")


async def test_a_question_numbers_its_choices_and_its_decision_names_the_next_step(
    workspace: Workspace, tmp_path: Path
) -> None:
    hub = tmp_path / "hub.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", hub], check=True)  # noqa: ASYNC221
    await _call(workspace, "share_project", address=str(hub))
    answer = await _call(workspace, "sync_project")
    assert answer["is_sent"] is True
    assert not {"waiting", "offline", "notice"} & answer.keys()
    await fetch_project(str(hub), tmp_path / "other")
    async with await ProjectStore.open(tmp_path / "other", home=tmp_path / "h2") as other:
        for store, text in ((other, "Theirs."), (await workspace.open_project("P"), "Ours.")):
            (task,) = await store.children(store.project, Task)
            await store.save(task.replace(instruction=text))
        await Sharing(other).sync()
    answer = await _call(workspace, "sync_project")
    assert isinstance(answer["conflicts"], list)
    (question,) = answer["conflicts"]
    assert isinstance(question, dict)
    assert isinstance(question["choices"], list)
    first, second = map(str, question["choices"])
    assert first.startswith('1: "Ours." (')
    assert second.startswith('2: "Theirs." (')
    decided = await _call(workspace, "decide_conflict", conflict=question["id"], choice=1)
    assert decided["still_open"] == 0
    assert isinstance(decided["next"], list)
    assert [step["tool"] for step in decided["next"] if isinstance(step, dict)] == ["sync_project"]
    (task,) = await store.children(store.project, Task)
    assert task.instruction == "Ours."
