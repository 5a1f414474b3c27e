"""Splits of inputs alone, from the file to the eval that measures them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from kiln_mcp.evals.service import create_evaluator
from kiln_mcp.llm import Engine, EngineSettings
from kiln_mcp.settings import Settings
from kiln_mcp.synthesis.answers import DataSplit
from kiln_mcp.synthesis.new_items import DataItem
from kiln_mcp.synthesis.service import add_data, split_data
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from storage import Eval, EvalInput, EvalInputSplit, Project, ProjectStore, Task, TaskRun


@asynccontextmanager
async def _questions(tmp_path: Path, count: int) -> AsyncGenerator[tuple[Workspace, str, Task]]:
    """Open a workspace whose task has inputs alone."""
    settings = Settings(home=tmp_path / "home", engine=EngineSettings())
    async with await ProjectStore.create(tmp_path / "p", Project(name="P")) as store:
        task = await store.save(Task(name="T", instruction="Answer."), parent=store.project)
    lines = [f"word{n} other{n * 7} more{n * 13} than{n}" for n in range(count)]
    file = tmp_path / "questions.csv"
    await anyio.Path(file).write_text("\n".join(["question", *lines]), encoding="utf-8")
    async with Engine(settings.engine, {}) as engine:
        known = KnownProjects(settings.home / "projects.json")
        workspace = Workspace(settings=settings, engine=engine, projects=known)
        added = await add_data(workspace, str(tmp_path / "p"), file=str(file))
        assert (added.without_output, next(step.tool for step in added.next)) == (
            count,
            "split_data",
        )
        yield workspace, str(tmp_path / "p"), task
        await known.close()


async def test_inputs_alone_are_dealt_and_an_eval_measures_the_parts(tmp_path: Path) -> None:
    async with _questions(tmp_path, 90) as (workspace, project, task):
        split = await split_data(workspace, project, "Right")
        assert isinstance(split, DataSplit)
        sizes = {part.part: part.items for part in split.parts}
        assert sizes == {"train": 40, "val": 25, "test": 25}
        await create_evaluator.invoke(
            workspace,
            {
                "project": project,
                "eval": "Right",
                "type": "contains",
                "substring": "x",
            },
        )
        store = await workspace.open_project(project)
        (record,) = await store.children(task, Eval)
        assert {name: type(part) for name, part in record.splits.items()} == dict.fromkeys(
            ("train", "val", "test"), EvalInputSplit
        )
        inputs = await store.children(task, EvalInput)
        assert sum("test_right" in item.tags for item in inputs) == 25


async def test_inputs_like_an_item_with_an_output_are_dealt_to_its_part(tmp_path: Path) -> None:
    async with _questions(tmp_path, 20) as (workspace, project, task):
        store = await workspace.open_project(project)
        questions = [item.opening_text for item in await store.children(task, EvalInput)]
        items = [DataItem(input=f"{text} please", output="a") for text in questions]
        await add_data(workspace, project, items=items)
        split = await split_data(workspace, project, "s", train=1, golden=1)
        assert isinstance(split, DataSplit)
        runs = await store.children(task, TaskRun)
        parts = {run.input.removesuffix(" please"): run.tags[-1] for run in runs}
        inputs = await store.children(task, EvalInput)
        assert {item.opening_text: item.tags[-1] for item in inputs} == parts
        assert (split.newly_dealt, split.groups) == (40, 20)
        assert "20 of the items are inputs alone" in split.warnings[-2]
        assert "10 golden items are inputs alone" in split.warnings[-1]
