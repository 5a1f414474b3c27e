"""Training data holds what a model is shown when its run config runs."""

import json
from pathlib import Path

import anyio
import pytest

from bench import Agrees
from kiln_mcp.llm import Engine, EngineSettings
from kiln_mcp.programs.readiness import ready_run_configs
from kiln_mcp.programs.skills import BODY_FILE
from kiln_mcp.run_configs.service import create_run_config
from kiln_mcp.run_configs.task_runs import produce, resolve
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.service import add_data, split_data
from kiln_mcp.tuning.answers import TrainingFiles
from kiln_mcp.tuning.service import export
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from scripted_model import ScriptedModel
from storage import Project, ProjectStore, Skill, Task, TaskRunConfig

PROMPT = "Answer.\n\n# Examples\n\n## Example 1\nInput: word3 other9\nOutput: answer 3"
ITEMS = [DataItem(input=f"word{n} other{3 * n}", output=f"answer {n}") for n in range(20)]


async def make_project(folder: Path) -> None:
    store = await ProjectStore.create(folder, Project(name="P"))
    await store.save(Task(name="T", instruction="Do it."), parent=store.project)
    skill = await store.save(
        Skill(name="be-brief", description="How to be brief."), parent=store.project
    )
    body = store.side_folder(skill) / BODY_FILE
    await anyio.Path(body.parent).mkdir(parents=True, exist_ok=True)
    await anyio.Path(body).write_text("Use few words.\n", encoding="utf-8")
    await store.close()


@pytest.mark.parametrize("tools", [None, ["skill/be-brief"]])
async def test_lines_begin_with_the_messages_of_a_run(
    tmp_path: Path, tools: list[str] | None
) -> None:
    settings = Settings(home=tmp_path / "home", engine=EngineSettings())
    project, model = str(tmp_path / "p"), ScriptedModel(["brief"], repeat=True)
    await make_project(tmp_path / "p")
    async with Engine(settings.engine, models={"scripted": model}) as engine:
        known = KnownProjects(settings.home / "projects.json")
        workspace = Workspace(settings=settings, engine=engine, projects=known, person=Agrees())
        await add_data(workspace, project, items=ITEMS)
        await split_data(workspace, project, "Right", seed=1, freeze="First")
        await create_run_config(
            workspace, project, "Own", prompt=PROMPT, model="scripted", tools=tools
        )
        files = await export(workspace, project, "training_data", split="First", run_config="Own")
        assert isinstance(files, TrainingFiles)
        store = await workspace.open_project(project)
        (task,) = await store.children(store.project, Task)
        (config,) = await store.children(task, TaskRunConfig)
        await ready_run_configs(workspace, store, [config])
        text = await anyio.Path(files.files[0].file).read_text(encoding="utf-8")
        await known.close()
        for line in text.splitlines():
            messages = json.loads(line)["messages"]
            assert ("# Skills" in messages[0]["content"]) is (tools is not None)
            task_input = messages[-2]["content"]
            assert task_input != "word3 other9"
            model.requests.clear()
            await produce(engine, resolve(task, config), task_input, "test")
            (request,) = model.requests
            shown = [{"role": m.role, "content": m.content} for m in request.messages]
            assert messages[:-1] == shown
