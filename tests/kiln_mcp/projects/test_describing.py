"""Describing a project: what its tasks and evals hold, from the index."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
from pydantic import JsonValue

from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.settings import Settings
from kiln_mcp.workspace import Workspace, open_workspace
from storage import (
    Eval,
    EvalConfig,
    EvalItemSource,
    EvalOutputScore,
    EvalRun,
    LlmJudge,
    ProjectStore,
    RequirementRating,
    Task,
    TaskOutput,
    TaskOutputRating,
    TaskRun,
    TaskRunSplit,
)

_RIGHT = EvalOutputScore(name="Right", type="pass_fail")
_JUDGE = LlmJudge(model_name="m", model_provider="p", prompt_template="{{ final_message }}")


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncGenerator[Workspace]:
    settings = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})
    async with open_workspace(settings) as opened:
        await _call(opened, "create_project", name="P", folder=str(tmp_path / "p"))
        await _call(opened, "create_task", project="P", name="Answer", instruction="Do it.")
        yield opened


async def _call(workspace: Workspace, tool: str, /, **arguments: JsonValue) -> dict[str, JsonValue]:
    return await installed_catalogue().perform(workspace, tool, arguments)


async def _described(workspace: Workspace) -> dict[str, JsonValue]:
    described = await _call(workspace, "describe_project", project="P")
    assert isinstance(described["tasks"], list)
    (task,) = described["tasks"]
    assert isinstance(task, dict)
    return task


def _run(tags: Sequence[str], *, rating: float | None = None, of_eval: bool = False) -> TaskRun:
    given = (
        {}
        if rating is None
        else {"named::Right": RequirementRating(value=rating, type="pass_fail")}
    )
    return TaskRun(
        input="x",
        output=TaskOutput(output="y", rating=TaskOutputRating(requirement_ratings=given)),
        tags=tuple(tags),
        eval_source=EvalItemSource(source_type="task_run", source_id="1") if of_eval else None,
    )


async def _measured(
    store: ProjectStore, test: str, golden: str | None = "tag::golden"
) -> tuple[Eval, EvalConfig]:
    (task,) = await store.children(store.project, Task)
    measured = Eval(
        name="Right",
        output_scores=(_RIGHT,),
        splits={"test": TaskRunSplit(filter_id=test)},
        eval_configs_filter_id=golden,
    )
    saved = await store.save(measured, parent=task)
    judge = EvalConfig(name="J", config_type="v2", properties=_JUDGE)
    return saved, await store.save(judge, parent=saved)


async def test_what_evals_made_is_counted_neither_as_item_nor_as_golden(
    workspace: Workspace,
) -> None:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    _, judge = await _measured(store, "tag::test")
    runs = [
        *[_run(["test"]) for _ in range(4)],
        *[_run(["test", "golden"], of_eval=True) for _ in range(3)],
        _run(["golden"]),
        _run(["golden"], rating=1),
        _run(["golden"], rating=0),
    ]
    async with store.transaction() as change:
        for run in runs:
            change.save(run, parent=task)
        for item, config in (("1", "c1"), ("2", "c1"), ("1", "c2")):
            change.save(
                EvalRun(dataset_id=item, task_run_config_id=config, scores={"right": 1}), judge
            )
    described = await _described(workspace)
    assert described["runs"] == len(runs)
    assert described["evals"] == [
        {
            "name": "Right",
            "judges": 1,
            "test_items": 4,
            "golden_items": 3,
            "rated_golden": 2,
            "results": 3,
        }
    ]
    assert str(described["next_step"]).startswith("label_items")


async def test_runs_that_matter_to_no_eval_are_not_read(workspace: Workspace) -> None:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    await _measured(store, "tag::test")
    other = await store.save(_run(["other"]), parent=task)
    assert (await _described(workspace))["runs"] == 1
    (store.folder / other.saved.path).write_text("{")
    await _described(workspace)
    assert not store.problems
    await store.refresh()
    assert [problem.path for problem in await store.unreadable()] == [other.saved.path]


async def test_an_eval_with_a_filter_that_is_not_known_here_is_described_as_such(
    workspace: Workspace,
) -> None:
    store = await workspace.open_project("P")
    await _measured(store, "saved_query::42")
    described = await _described(workspace)
    assert isinstance(described["weak"], list)
    assert any("'saved_query::42'" in str(weak) for weak in described["weak"])
    listed = await _call(workspace, "describe_eval", project="P")
    assert isinstance(listed["evals"], list)
    assert [one["test_items"] for one in listed["evals"] if isinstance(one, dict)] == [0]
