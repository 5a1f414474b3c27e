"""A project on which several homes, each with an engine of its own, ask one counted model."""

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import pytest

from data_writer import new_text
from kiln_mcp.evals import service as evals
from kiln_mcp.llm import Engine, EngineSettings, ModelRequest
from kiln_mcp.run_configs import service as run_configs_service
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from scripted_model import ScriptedModel
from storage import (
    DataSource,
    Eval,
    EvalConfig,
    EvalRun,
    Project,
    ProjectStore,
    Task,
    TaskOutput,
    TaskRun,
)

PARTS = {"train": range(6), "val": range(20, 26), "test": range(40, 52), "golden": range(60, 64)}


@dataclass
class CountedModel:
    """Answers numbers with numbers, asks for inputs with inputs and judges with "pass"."""

    asked: list[str] = field(default_factory=list[str])

    def __call__(self, request: ModelRequest) -> str:
        asked = request.messages[-1].content
        self.asked.append(asked)
        schema = json.dumps(dict(request.schema or {}))
        if '"inputs"' in schema:
            # The same question gets the same answer, as from a model that does not sample.
            number = crc32(str(request.messages).encode())
            slots = re.findall(r"(?:^|<slots>)(\d+)\. ", asked, re.MULTILINE)
            inputs = [{"slot": int(n), "input": new_text(number, n)} for n in slots]
            return json.dumps({"inputs": inputs})
        if '"right"' in schema:
            return json.dumps({"reasoning": "I looked.", "right": "pass"})
        return f"answer {len(self.asked)} to {asked}"


@dataclass(frozen=True)
class SharedProject:
    """The project, its model, and workspaces of different homes."""

    folder: Path
    model: CountedModel
    open_home: Callable[[str], Awaitable[Workspace]]

    async def results(self) -> tuple[list[str], list[tuple[str, str | None]]]:
        """Return the inputs of all outputs that evals made, and what each verdict is about."""
        async with await ProjectStore.open(self.folder) as store:
            (task,) = await store.children(store.project, Task)
            made = [r.input for r in await store.children(task, TaskRun) if r.eval_source]
            verdicts = [
                (str(verdict.dataset_id), verdict.task_run_config_id)
                for eval_record in await store.children(task, Eval)
                for judge in await store.children(eval_record, EvalConfig)
                for verdict in await store.children(judge, EvalRun)
            ]
        return sorted(made), sorted(verdicts, key=str)

    async def inputs(self) -> list[str]:
        """Return the inputs of the data set."""
        async with await ProjectStore.open(self.folder) as store:
            (task,) = await store.children(store.project, Task)
            return [r.input for r in await store.children(task, TaskRun) if not r.eval_source]


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncGenerator[SharedProject]:
    model = CountedModel()
    folder = tmp_path / "disk" / "project"
    async with AsyncExitStack() as homes:

        async def open_home(name: str) -> Workspace:
            home = tmp_path / name
            settings = Settings(home=home, engine=EngineSettings(default_model="scripted"))
            models = {"scripted": ScriptedModel(model)}
            engine = await homes.enter_async_context(Engine(settings.engine, models=models))
            known = KnownProjects(home / "projects.json")
            homes.push_async_callback(known.close)
            return Workspace(settings=settings, engine=engine, projects=known)

        project = SharedProject(folder, model, open_home)
        await _fill(project, await open_home("first"))
        yield project


async def _fill(project: SharedProject, workspace: Workspace) -> None:
    async with await ProjectStore.create(project.folder, Project(name="Shared")) as store:
        task = await store.save(Task(name="Repeat", instruction="Do it."), parent=store.project)
        person = DataSource(type="human", properties={"created_by": "ann"})
        async with store.transaction() as change:
            for part, numbers in PARTS.items():
                for number in numbers:
                    output = TaskOutput(output=f"answer to {number}", source=person)
                    run = TaskRun(
                        input=str(number), input_source=person, output=output, tags=(part,)
                    )
                    change.save(run, parent=task)
    await evals.create_evaluator.invoke(
        workspace,
        {
            "project": str(project.folder),
            "eval": "Right",
            "type": "llm_judge",
            "steps": ["Is it an answer?"],
            **{f"{part}_filter": f"tag::{part}" for part in PARTS},
        },
    )
    for name in ("one", "other"):
        prompt = f"Answer. {name}"
        await run_configs_service.create_run_config.invoke(
            workspace,
            {"project": str(project.folder), "name": name, "prompt": prompt},
        )
