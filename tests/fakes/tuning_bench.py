"""A workbench whose task can be trained at a service on the loopback."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import Agrees
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.llm import EngineSettings
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.service import add_data, split_data
from kiln_mcp.tuning.answers import TrainedModel
from kiln_mcp.tuning.providers.registry import ProviderName
from kiln_mcp.tuning.service import train_model
from kiln_mcp.workbench.workspace import Workspace
from storage import Finetune, Project, ProjectStore, Task, TaskRunConfig
from tuning_services import TuningServices, environment_of, serve

ITEMS = [
    DataItem(input=f"word{n} other{n * 3} third{n * 5}", output=f"answer {n}") for n in range(40)
]
BASES = {
    "openai": "gpt-4.1-mini-2025-04-14",
    "together_ai": "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference",
    "fireworks_ai": "accounts/fireworks/models/llama-v3p1-8b-instruct",
    "vertex": "gemini-2.5-flash",
}


@dataclass
class Bench:
    workspace: Workspace
    project: str
    provider: str
    services: TuningServices

    @property
    def arguments(self) -> dict[str, Any]:
        parameters = {"bucket": "gs://mine"} if self.provider == "vertex" else {"epochs": 2}
        return {
            "project": self.project,
            "split": "F",
            "provider": self.provider,
            "base_model": BASES[self.provider],
            "name": "Tuned",
            "parameters": parameters,
        }

    async def train(self, **changes: Any) -> TrainedModel:
        arguments = self.arguments | changes
        arguments["provider"] = ProviderName(arguments["provider"])
        answer = await train_model(self.workspace, **arguments)
        assert isinstance(answer, TrainedModel)
        return answer

    async def store(self) -> tuple[ProjectStore, Task]:
        store = await self.workspace.open_project(self.project)
        (task,) = await store.children(store.project, Task)
        return store, task

    async def records(self) -> tuple[list[Finetune], list[TaskRunConfig]]:
        store, task = await self.store()
        return list(await store.children(task, Finetune)), list(
            await store.children(task, TaskRunConfig)
        )


@asynccontextmanager
async def open_bench(tmp_path: Path, provider: str) -> AsyncGenerator[Bench]:
    async with serve(provider) as services:
        environment = environment_of(provider, services.address)
        settings = Settings(
            home=tmp_path / "home",
            engine=EngineSettings(
                environment=environment,
                first_wait_s=0.001,
                attempts=3,
                tuned_models=tmp_path / "home" / "tuned_models.json",
            ),
            poll_s=0.001,
        )
        store = await ProjectStore.create(tmp_path / "p", Project(name="P"))
        await store.save(Task(name="T", instruction="Answer."), parent=store.project)
        await store.close()
        catalogue = installed_catalogue()
        async with catalogue.open_workspace(settings) as workspace:
            mine = replace(workspace, person=Agrees())
            project = str(tmp_path / "p")
            await add_data(mine, project, items=ITEMS)
            await split_data(mine, project, "Right", seed=1)
            await split_data(mine, project, "Right", freeze="F")
            yield Bench(mine, project, provider, services)
