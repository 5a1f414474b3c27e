"""A bench for searches for a better prompt: one task, its items in parts, scripted models."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pydantic import JsonValue

from kiln_mcp.evals import service as evals
from kiln_mcp.evolution.answers import EvolutionReport
from kiln_mcp.evolution.service import improve_prompt
from kiln_mcp.llm import Engine, EngineSettings, ModelAnswer, ModelRequest
from kiln_mcp.run_configs import service as run_configs_service
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from scripted_model import ScriptedModel
from storage import DataSource, Project, ProjectStore, Task, TaskOutput, TaskRun
from storage import TaskRunConfig as RunConfig

SCHEMA = json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
PARTS = {"train": range(12), "val": range(100, 124), "test": range(200, 260)}
TEST_START = 200
EDIT = {"operation": "add", "block": "b1", "text": "double it", "reason": "it is not doubled"}


@dataclass
class Bench:
    """A project with one task, its items in three parts, and a run config to start from."""

    workspace: Workspace
    store: ProjectStore
    task: Task
    model: ScriptedModel

    async def evolve(self, **arguments: object) -> EvolutionReport:
        call = {"project": str(self.store.folder), "eval": "Right", "start": "start", **arguments}
        answer = await improve_prompt.invoke(self.workspace, json.loads(json.dumps(call)))
        assert isinstance(answer, EvolutionReport)
        return answer


def by_demonstrations(request: ModelRequest) -> str:
    """Double the number once three demonstrations are shown, or when told so."""
    number = int(request.messages[-1].content)
    told = "double" in request.messages[0].content or len(request.messages) >= 8
    return json.dumps({"n": number * 2 if told else number})


def by_instruction(request: ModelRequest) -> str:
    """Double the number when told so."""
    number = int(request.messages[-1].content)
    told = "double" in request.messages[0].content
    return json.dumps({"n": number * 2 if told else number})


def by_demonstrations_before_test(request: ModelRequest) -> str:
    """Double only the numbers of training and validation items."""
    number = int(request.messages[-1].content)
    return by_demonstrations(request) if number < TEST_START else json.dumps({"n": number})


def edits(_: ModelRequest) -> str:
    return json.dumps({"failure": "numbers stay as they are", "edits": [EDIT]})


PRICED_WORKERS = {"small": by_demonstrations, "editor": edits}
PRICED_ENVIRONMENT = {"KILN_MCP_MODEL": "paid/editor"}
"""What serves the models of `priced_search` in a chat whose models are named `paid/...`."""


def priced_search(
    project: Path, **arguments: object
) -> tuple[list[tuple[str, dict[str, object]]], list[tuple[str, dict[str, object]]]]:
    """Return the calls of a chat's two steps: a priced run config, then a search for two dollars.

    Args:
        project: The folder of a search bench.
        arguments: Further ones of the search; `wait_s=0` makes it a job on any machine.
    """
    where = {"project": str(project)}
    search = {"eval": "Right", "start": "priced", "limit_usd": 2.0, "seed": 1, "max_calls": 100}
    config = {**where, "name": "priced", "model": "paid/small"}
    return (
        [("create_run_config", {**config})],
        [("improve_prompt", {**where, **search, **arguments})],
    )


def edits_of_no_block(_: ModelRequest) -> str:
    return json.dumps({"failure": "unclear", "edits": [{**EDIT, "block": "b9"}]})


def by_turn(request: ModelRequest) -> str:
    """Double some numbers, others for each count of demonstrations."""
    number = int(request.messages[-1].content)
    return json.dumps({"n": number * 2 if (number + len(request.messages)) % 3 else number})


def constant(_: ModelRequest) -> str:
    return json.dumps({"n": 0})


def by_coin(request: ModelRequest) -> str:
    """Double most numbers when told so and few otherwise; each sample is another coin."""
    number = int(request.messages[-1].content)
    told = "double" in request.messages[0].content
    coin = Random(f"{number} {request.sample} {told}").random()
    return json.dumps({"n": number * 2 if coin < (0.75 if told else 0.25) else number})


def without_prompt(config: RunConfig) -> dict[str, object]:
    return config.run_config_properties.model_dump(exclude={"prompt_id"})


@asynccontextmanager
async def open_search_bench(
    folder: Path,
    answer: Callable[[ModelRequest], str | ModelAnswer],
    parts: dict[str, range] = PARTS,
    editor: Callable[[ModelRequest], str] = edits,
    prompt: str | None = None,
) -> AsyncGenerator[Bench]:
    settings = Settings(home=folder / "home", engine=EngineSettings(default_model="embedded"))
    task_model = ScriptedModel(answer)
    models = {"small": task_model, "cheap": ScriptedModel(answer), "editor": ScriptedModel(editor)}
    async with Engine(settings.engine, models=models) as engine:
        known = KnownProjects(settings.home / "projects.json")
        workspace = Workspace(settings=settings, engine=engine, projects=known)
        created = await ProjectStore.create(folder / "project", Project(name="Numbers"))
        task = await created.save(
            Task(name="Double", instruction="Do it.", output_json_schema=SCHEMA),
            parent=created.project,
        )
        person = DataSource(type="human", properties={"created_by": "ann"})
        async with created.transaction() as change:
            for part, numbers in parts.items():
                for number in numbers:
                    output = TaskOutput(output=json.dumps({"n": number * 2}), source=person)
                    run = TaskRun(
                        input=str(number), input_source=person, output=output, tags=(part,)
                    )
                    change.save(run, parent=task)
        await created.close()
        store = await workspace.open_project(str(folder / "project"))
        project = str(store.folder)
        await evals.create_evaluator.invoke(
            workspace,
            {
                "project": project,
                "eval": "Right",
                "type": "exact_match",
                "reference_key": "reference_answer",
                "test_filter": "tag::test",
                "train_filter": "tag::train",
                "val_filter": "tag::val",
            },
        )
        start: dict[str, JsonValue] = {"name": "start", "model": "small", "prompt": prompt}
        await run_configs_service.create_run_config.invoke(workspace, {"project": project, **start})
        try:
            yield Bench(workspace, store, task, task_model)
        finally:
            await known.close()
