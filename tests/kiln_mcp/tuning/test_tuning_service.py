import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from bench import Agrees
from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.llm import Engine, EngineSettings
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis.frozen_splits import SplitFrozen
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.service import add_data, split_data
from kiln_mcp.tuning.answers import TrainingFiles
from kiln_mcp.tuning.data_check import DataFaultKind
from kiln_mcp.tuning.formats import ExportFormat, Thinking
from kiln_mcp.tuning.service import export
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from storage import (
    DatasetSplit,
    Eval,
    EvalOutputScore,
    Project,
    ProjectStore,
    Task,
    TaskOutputRating,
    TaskRun,
)
from storage import TaskRunSplit as RunSplit
from storage.errors import Refusal, UnsafePath

ITEMS = [
    DataItem(input=f"word{n} other{n * 3} third{n * 5}", output=f"answer {n}") for n in range(40)
]


@asynccontextmanager
async def dealt(tmp_path: Path) -> AsyncGenerator[tuple[Workspace, str]]:
    settings = Settings(home=tmp_path / "home", engine=EngineSettings())
    store = await ProjectStore.create(tmp_path / "p", Project(name="P"))
    await store.save(Task(name="T", instruction="Answer."), parent=store.project)
    await store.close()
    async with Engine(settings.engine) as engine:
        known = KnownProjects(settings.home / "projects.json")
        workspace = Workspace(settings=settings, engine=engine, projects=known, person=Agrees())
        project = str(tmp_path / "p")
        await add_data(workspace, project, items=ITEMS)
        await split_data(workspace, project, "Right", seed=1)
        yield workspace, project
        await known.close()


async def task_in(workspace: Workspace, project: str) -> tuple[ProjectStore, Task]:
    store = await workspace.open_project(project)
    (task,) = await store.children(store.project, Task)
    return store, task


async def training_files(
    workspace: Workspace,
    project: str,
    split: str,
    format: ExportFormat,
    *,
    parts: list[str] | None = None,
    thinking: Thinking = Thinking.FINAL_ONLY,
    folder: str | None = None,
) -> TrainingFiles:
    files = await export(
        workspace,
        project,
        "training_data",
        folder,
        split=split,
        format=format,
        parts=parts,
        thinking=thinking,
    )
    assert isinstance(files, TrainingFiles)
    return files


async def lines_in(file: str) -> list[str]:
    text = await anyio.Path(file).read_text(encoding="utf-8")
    return text.splitlines()


async def test_a_split_is_frozen_as_a_record_of_ids_and_shares(tmp_path: Path) -> None:
    async with dealt(tmp_path) as (workspace, project):
        frozen = await split_data(workspace, project, "Right", freeze="Right data")
        assert isinstance(frozen, SplitFrozen)
        store, task = await task_in(workspace, project)
        (record,) = await store.children(task, DatasetSplit)
        assert {part: len(ids) for part, ids in record.split_contents.items()} == {
            "train": 16, "val": 10, "test": 10, "golden": 4
        }  # fmt: skip
        assert [part.percentage for part in record.splits] == [0.4, 0.25, 0.25, 0.1]
        assert frozen.id == record.id
        await split_data(workspace, project, "Right", seed=2, redeal=True)
        assert (await store.children(task, DatasetSplit))[0].split_contents == record.split_contents


async def test_a_new_split_is_dealt_and_frozen_in_one_call(tmp_path: Path) -> None:
    async with dealt(tmp_path) as (workspace, project):
        frozen = await split_data(workspace, project, "Other", test=1, freeze="Release 1")
        assert isinstance(frozen, SplitFrozen)
        assert [(part.part, part.items) for part in frozen.parts] == [("test", 40)]


async def test_items_that_come_later_stay_out_of_a_split_that_is_frozen_as_it_is(
    tmp_path: Path,
) -> None:
    async with dealt(tmp_path) as (workspace, project):
        await add_data(workspace, project, items=[DataItem(input="later", output="x")])
        frozen = await split_data(workspace, project, "Right", freeze="As it is")
        assert isinstance(frozen, SplitFrozen)
        assert sum(part.items for part in frozen.parts) == 40


async def test_test_and_golden_are_exported_only_when_named(tmp_path: Path) -> None:
    async with dealt(tmp_path) as (workspace, project):
        await split_data(workspace, project, "Right", freeze="First")
        usual = await training_files(workspace, project, "First", ExportFormat.OPENAI_CHAT)
        assert [(file.part, file.examples) for file in usual.files] == [("train", 16), ("val", 10)]
        lines = await lines_in(usual.files[0].file)
        assert json.loads(lines[0])["messages"][0] == {"role": "system", "content": "Answer."}
        store, task = await task_in(workspace, project)
        held = {run.input for run in await store.children(task, TaskRun)
                if {"test_right", "golden_right"} & set(run.tags)}  # fmt: skip
        assert len(held) == 14
        assert not any(text in line for line in lines for text in held)
        named = await training_files(
            workspace,
            project,
            "First",
            ExportFormat.VERTEX,
            parts=["golden"],
            folder=str(tmp_path / "out"),
        )
        assert named.files[0].file == str(tmp_path / "out" / "golden.vertex_gemini.jsonl")
        assert len(await lines_in(named.files[0].file)) == 4


async def test_items_that_an_eval_measures_on_are_held_back_from_train(tmp_path: Path) -> None:
    async with dealt(tmp_path) as (workspace, project):
        await split_data(workspace, project, "Right", freeze="Right data")
        store, task = await task_in(workspace, project)
        train = [r for r in await store.children(task, TaskRun) if "train_right" in r.tags]
        await store.save(train[0].replace(tags=("test_another",)))
        await store.save(train[1].replace(tags=("measured",)))
        await store.save(
            Eval(
                name="E",
                output_scores=(EvalOutputScore(name="Right", type="pass_fail"),),
                splits={"test": RunSplit(filter_id="tag::measured")},
                eval_configs_filter_id="tag::nothing",
            ),
            parent=task,
        )
        made = await training_files(
            workspace, project, "Right data", ExportFormat.HUGGINGFACE, parts=["train"]
        )
        assert (made.files[0].examples, made.files[0].held_out_items) == (14, 2)


async def test_outputs_that_nobody_checked_are_counted(tmp_path: Path) -> None:
    async with dealt(tmp_path) as (workspace, project):
        await split_data(workspace, project, "Right", freeze="Right data")
        store, task = await task_in(workspace, project)
        train = [r for r in await store.children(task, TaskRun) if "train_right" in r.tags]
        for place, run in enumerate(train[:3]):
            assert run.output.source is not None
            source = run.output.source.replace(run_config_id="123456789012")
            rating = TaskOutputRating(value=5) if place == 0 else None
            await store.save(run.replace(output=run.output.replace(source=source, rating=rating)))
        made = await training_files(
            workspace, project, "Right data", ExportFormat.OPENAI_CHAT, parts=["train"]
        )
        assert (made.files[0].examples, made.files[0].unreviewed_examples) == (16, 2)


async def test_answers_that_are_not_complete_are_never_exported(tmp_path: Path) -> None:
    async with dealt(tmp_path) as (workspace, project):
        await split_data(workspace, project, "Right", freeze="Right data")
        store, task = await task_in(workspace, project)
        train = [r for r in await store.children(task, TaskRun) if "train_right" in r.tags]
        for run, state in zip(train, ("truncated", "refused", "complete"), strict=False):
            assert run.output.source is not None
            properties = {**run.output.source.properties, "answer_state": state}
            source = run.output.source.replace(properties=properties)
            rating = TaskOutputRating(value=5)
            await store.save(run.replace(output=run.output.replace(source=source, rating=rating)))
        made = await training_files(
            workspace, project, "Right data", ExportFormat.OPENAI_CHAT, parts=["train"]
        )
        assert (made.files[0].examples, made.files[0].unusable_items) == (14, 2)


async def test_what_cannot_be_exported_is_refused_with_the_way_on(tmp_path: Path) -> None:
    async with dealt(tmp_path) as (workspace, project):
        with pytest.raises(Refusal, match=r"needs a frozen split.*none yet"):
            await export(workspace, project, "training_data")
        await split_data(workspace, project, "Right", freeze="F")
        with pytest.raises(Refusal, match="train, val, test, golden"):
            await training_files(workspace, project, "F", ExportFormat.OPENAI_CHAT, parts=["dev"])
        with pytest.raises(Refusal, match=r"plain text.*vertex_gemini"):
            await training_files(workspace, project, "F", ExportFormat.OPENAI_TOOL)
        with pytest.raises(Refusal, match="16 have no reasoning"):
            await training_files(
                workspace, project, "F", ExportFormat.OPENAI_CHAT, thinking=Thinking.TAGGED
            )


@pytest.mark.parametrize("place", ["home/chats", "out"])
async def test_only_the_project_and_the_exports_of_the_home_are_written_unasked(
    tmp_path: Path, place: str
) -> None:
    async with dealt(tmp_path) as (workspace, project):
        await split_data(workspace, project, "Right", freeze="F")
        alone = replace(workspace, person=None)
        folder = str(tmp_path / place)
        with pytest.raises(MissingApproval, match="Data is sent to"):
            await training_files(alone, project, "F", ExportFormat.OPENAI_CHAT, folder=folder)
        inside = str(tmp_path / "home" / "exports")
        await training_files(alone, project, "F", ExportFormat.OPENAI_CHAT, folder=inside)
        with pytest.raises(MissingApproval, match=r"It replaces .*train\.openai_chat\.jsonl"):
            await training_files(alone, project, "F", ExportFormat.OPENAI_CHAT, folder=inside)
        hooks = str(tmp_path / "p" / ".git" / "hooks")
        with pytest.raises(UnsafePath, match="belongs to git"):
            await training_files(alone, project, "F", ExportFormat.OPENAI_CHAT, folder=hooks)


async def test_what_spoils_training_data_is_said_before_it_is_written(tmp_path: Path) -> None:
    async with dealt(tmp_path) as (workspace, project):
        store, task = await task_in(workspace, project)
        train = [r for r in await store.children(task, TaskRun) if "train_right" in r.tags]
        held = [r for r in await store.children(task, TaskRun) if "test_right" in r.tags]
        await store.save(train[0].replace(input=train[1].input))
        await store.save(train[2].replace(input=held[0].input.upper()))
        await split_data(workspace, project, "Right", freeze="F")
        arguments = {"project": project, "kind": "training_data", "split": "F"}
        proposal = await export.propose(workspace, arguments)
        assert "The check of the data finds: 1 leak, 1 contradiction" in proposal.plan.summary
        made = await training_files(workspace, project, "F", ExportFormat.OPENAI_CHAT)
        worst, second = made.faults[:2]
        assert (worst.kind, worst.part, worst.run) == ("leak", "train", train[2].id)
        line = (await lines_in(made.files[0].file))[(worst.line or 0) - 1]
        assert json.loads(line)["messages"][1]["content"] == held[0].input.upper()
        assert {second.run} <= {train[0].id, train[1].id}
        assert made.fault_counts[DataFaultKind.CONTRADICTION] == 1
        assert made.tokens > 26 * 15


async def test_an_item_that_the_prompt_shows_with_its_answer_is_left_out(tmp_path: Path) -> None:
    async with dealt(tmp_path) as (workspace, project):
        store, task = await task_in(workspace, project)
        shown = next(r for r in await store.children(task, TaskRun) if "train_right" in r.tags)
        prompt = f"Answer. As: {shown.input} gives {shown.best_output}."
        await store.save(task.replace(instruction=prompt))
        await split_data(workspace, project, "Right", freeze="F")
        made = await training_files(
            workspace, project, "F", ExportFormat.OPENAI_CHAT, parts=["train"]
        )
        assert (made.files[0].examples, made.files[0].shown_items) == (15, 1)
        lines = await lines_in(made.files[0].file)
        assert not any(json.loads(line)["messages"][1]["content"] == shown.input for line in lines)
