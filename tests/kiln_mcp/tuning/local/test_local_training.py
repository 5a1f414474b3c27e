"""A whole training on this machine with a fake process: record, run config, and what Kiln reads."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kiln_library import read_by_kiln
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.llm import EngineSettings
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.service import add_data, split_data
from kiln_mcp.tuning.export import Recipe
from kiln_mcp.tuning.formats import ExportFormat, Instructions, Thinking
from kiln_mcp.tuning.local.outlook import Outlook
from kiln_mcp.tuning.local.provider import LocalTuning
from kiln_mcp.tuning.local.work_folder import LocalState, WorkFolder
from kiln_mcp.tuning.providers.provider import check_parameters
from kiln_mcp.tuning.providers.registry import ProviderName
from kiln_mcp.tuning.training_checks import plan_training
from kiln_mcp.tuning.training_files import FrozenData, read_training_data
from kiln_mcp.tuning.trainings import Training, train, with_forecast
from storage import DatasetSplit, Finetune, Project, ProjectStore, Task, TaskRunConfig
from storage.errors import Refusal

ITEMS = [
    DataItem(input=f"word{n} other{n * 3} third{n * 5}", output=f"answer {n}") for n in range(40)
]


class Finishes:
    """A process that has trained as soon as it is started, or has failed."""

    def __init__(self, failure: str = "") -> None:
        self.failure = failure

    def check(self) -> None:
        """All is installed."""

    async def examine(self, folder: WorkFolder) -> Outlook:
        return Outlook(tokens=321)

    def start(self, folder: WorkFolder) -> None:
        folder.adapter.mkdir()
        (folder.adapter / "adapter_model.safetensors").write_bytes(b"weights")
        state = "failed" if self.failure else "completed"
        folder.write("state.json", LocalState(state=state, message=self.failure))

    def is_started(self, folder: WorkFolder) -> bool:
        return False


@asynccontextmanager
async def open_training(tmp_path: Path, failure: str = "") -> AsyncGenerator[Training]:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    home = tmp_path / "home"
    engine = EngineSettings(environment={}, tuned_models=home / "tuned_models.json")
    store = await ProjectStore.create(tmp_path / "p", Project(name="P"))
    await store.save(Task(name="T", instruction="Answer."), parent=store.project)
    await store.close()
    project = str(tmp_path / "p")
    settings = Settings(home=home, engine=engine, poll_s=0.001)
    async with installed_catalogue().open_workspace(settings) as workspace:
        await add_data(workspace, project, items=ITEMS)
        await split_data(workspace, project, "Right", seed=1)
        await split_data(workspace, project, "Right", freeze="F")
        store = await workspace.open_project(project)
        (task,) = await store.children(store.project, Task)
        data = FrozenData(store, task, await store.find(DatasetSplit, "F", parent=task))
        instructions = Instructions("Answer.", "Think.")
        recipe = Recipe(ExportFormat.HUGGINGFACE, Thinking.FINAL_ONLY, instructions, None)
        tuning = LocalTuning(home / "trainings", engine, Finishes(failure))
        yield Training(
            workspace,
            data,
            await read_training_data(data, ["train", "val"], recipe),
            recipe,
            ProviderName.LOCAL,
            tuning,
            str(base),
            "Tuned here",
            check_parameters(tuning.hyperparameters, {}),
            0,
            "000000000011",
            "000000000012",
        )


async def test_a_training_here_is_recorded_and_runs_by_its_run_config(tmp_path: Path) -> None:
    async with open_training(tmp_path) as training:
        trained = await train(training)
        store, task = training.data.store, training.data.task
        [record] = await store.children(task, Finetune)
        [config] = await store.children(task, TaskRunConfig)
        assert (record.provider, record.latest_status) == ("local", "completed")
        assert record.fine_tune_model_id == trained.model
        assert trained.model.startswith("tuned/tuned-here-")
        assert trained.tokens == 321
        assert config.prompt is not None
        assert config.prompt.prompt == "Answer."
        engine = training.workspace.engine
        assert trained.model in {model.name for model in await engine.models([])}
        [folder] = [path for path in (tmp_path / "p" / "tuned_models").iterdir() if path.is_dir()]
        assert (folder / "adapter_model.safetensors").read_bytes() == b"weights"


async def test_a_training_here_costs_and_sends_nothing(tmp_path: Path) -> None:
    async with open_training(tmp_path) as training:
        plan = plan_training(training)
        assert not plan.needs_approval
        assert plan.is_long
        assert "on this machine, free of charge" in plan.summary
        assert " tokens, read 3 times)" in plan.summary
        assert "(about" in plan.summary
        assert "(321 tokens" in plan_training(await with_forecast(training)).summary


async def test_a_training_that_fails_is_said_in_the_trainers_words(tmp_path: Path) -> None:
    async with open_training(tmp_path, "it diverges: the loss of step 3 is nan") as training:
        with pytest.raises(Refusal, match="it diverges: the loss of step 3 is nan"):
            await train(training)
        [record] = await training.data.store.children(training.data.task, Finetune)
        assert record.latest_status == "failed"


async def test_a_job_whose_training_failed_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    async with open_training(tmp_path, "the disk is full") as training:
        with pytest.raises(Refusal, match="The reason given: the disk is full"):
            await train(training)
        tuning = training.provider
        assert isinstance(tuning, LocalTuning)
        shutil.rmtree(tuning.work / f"kiln-{training.record_id}" / "adapter")
        mended = replace(training, provider=replace(tuning, processes=Finishes()))
        trained = await train(mended)
        [record] = await training.data.store.children(training.data.task, Finetune)
        assert record.latest_status == "completed"
        assert record.fine_tune_model_id == trained.model


@pytest.mark.kiln
async def test_kilns_library_opens_what_a_training_here_leaves(tmp_path: Path) -> None:
    async with open_training(tmp_path) as training:
        await train(training)
    report = await read_by_kiln(tmp_path / "p")
    assert report["errors"] == []
    counts = report["counts"]
    assert isinstance(counts, dict)
    assert counts.get("finetune", counts.get("Finetune")) == 1
