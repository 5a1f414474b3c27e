"""Collaboration at the doors: what a sync answers, and how a question is put and decided."""

import subprocess
from pathlib import Path

from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Task, TaskOutput, TaskRun
from storage.collaboration.sync import Sharing, fetch_project


async def _call(workspace: Workspace, tool: str, /, **arguments: JsonValue) -> dict[str, JsonValue]:
    return await installed_catalogue().perform(workspace, tool, {"project": "P", **arguments})


async def test_a_project_that_is_kept_on_this_machine_is_not_called_offline(
    workspace: Workspace,
) -> None:
    await _call(workspace, "sync_project")
    for _ in range(2):
        answer = await _call(workspace, "sync_project")
        assert not {"is_sent", "waiting", "offline"} & answer.keys()
        assert str(answer["notice"]).startswith("The history is kept on this machine alone")


async def test_a_question_numbers_its_choices_and_its_decision_names_the_next_step(
    workspace: Workspace, tmp_path: Path
) -> None:
    hub = tmp_path / "hub.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", hub], check=True)  # noqa: ASYNC221
    await _call(workspace, "sync_project", remote=str(hub))
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


async def test_a_rating_in_a_clone_by_git_on_windows_changes_one_file_by_its_lines(
    workspace: Workspace, tmp_path: Path
) -> None:
    hub, clone = tmp_path / "hub.git", tmp_path / "clone"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", hub], check=True)  # noqa: ASYNC221
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    run = await store.save(TaskRun(input="hi", output=TaskOutput(output="hello")), parent=task)
    await _call(workspace, "sync_project", remote=str(hub))
    await _call(workspace, "sync_project")
    settings = ["-c", "core.autocrlf=true"]
    subprocess.run(["git", "clone", "-q", *settings, str(hub), str(clone)], check=True)  # noqa: ASYNC221
    tools = installed_catalogue()
    rating: dict[str, JsonValue] = {"project": str(clone), "runs": [run.id], "stars": 4}
    await tools.perform(workspace, "mark_runs", rating)
    answer = await tools.perform(workspace, "sync_project", {"project": str(clone)})
    assert answer["is_sent"] is True
    show = ["git", "show", "--format=", "--numstat", "main"]
    changes = subprocess.run(show, cwd=hub, check=True, capture_output=True, text=True).stdout  # noqa: ASYNC221
    [(added, removed, path)] = [line.split("\t") for line in changes.splitlines()]
    assert path.endswith("task_run.kiln")
    assert int(added) < 15
    assert int(removed) <= 1
