"""A description of a project: what its tasks and evals hold, from the index."""

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from pydantic import JsonValue

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.jobs import Job
from kiln_mcp.jobs.database import open_database
from kiln_mcp.jobs.job_records import MOST_RECOVERIES
from kiln_mcp.jobs.job_table import JobTable
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.lifecycle import open_workspace
from kiln_mcp.workbench.workspace import Workspace
from storage import (
    Eval,
    EvalConfig,
    EvalInputSplit,
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
from storage.errors import Refusal, WorkbenchError

_RIGHT = EvalOutputScore(name="Right", type="pass_fail")
_JUDGE = LlmJudge(model_name="m", model_provider="p", prompt_template="{{ final_message }}")


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncGenerator[Workspace]:
    settings = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "home")})
    async with open_workspace(settings) as opened:
        await _call(opened, "create_project", name="P", folder=str(tmp_path / "p"))
        await _call(opened, "create_project", project="P", task="Answer", instruction="Do it.")
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
    store: ProjectStore, test: TaskRunSplit | EvalInputSplit, golden: str | None = "tag::golden"
) -> tuple[Eval, EvalConfig]:
    (task,) = await store.children(store.project, Task)
    eval_record = Eval(
        name="Right",
        output_scores=(_RIGHT,),
        splits={"test": test},
        eval_configs_filter_id=golden,
    )
    saved = await store.save(eval_record, parent=task)
    judge = EvalConfig(name="J", config_type="v2", properties=_JUDGE)
    return saved, await store.save(judge, parent=saved)


async def test_what_evals_made_is_no_item_and_golden_only_by_its_own_tag(
    workspace: Workspace,
) -> None:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    _, judge = await _measured(store, TaskRunSplit(filter_id="tag::test"))
    runs = [
        *[_run(["test"]) for _ in range(4)],
        *[_run(["test"], of_eval=True) for _ in range(3)],
        _run(["golden"], of_eval=True),  # chosen to be labelled
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
    assert described["runs"] == sum(run.eval_source is None for run in runs)
    assert described["evals"] == [
        {
            "name": "Right",
            "evaluators": 1,
            "test_items": 4,
            "golden_items": 4,
            "rated_items": 2,
            "results": 3,
        }
    ]
    assert "draw_items_to_label" in str(described["next"])


async def test_a_leak_and_labels_that_three_judges_contradict_are_told(
    workspace: Workspace,
) -> None:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    parts: dict[str, TaskRunSplit | EvalInputSplit] = {
        part: TaskRunSplit(filter_id=f"tag::{part}_s") for part in ("train", "val", "test")
    }
    record = Eval(
        name="Right",
        output_scores=(_RIGHT,),
        splits=parts,
        eval_configs_filter_id="tag::golden_s",
    )
    record = await store.save(record, parent=task)
    judges = [
        await store.save(
            EvalConfig(name=f"J{number}", config_type="v2", properties=_JUDGE), parent=record
        )
        for number in range(3)
    ]
    golden = [_run(["golden_s"], rating=number % 2) for number in range(20)]
    async with store.transaction() as change:
        for part in parts:
            for number in range(6):
                text = f"Item {number}" if part == "train" else f"{part}  ITEM {number}"
                if part == "test" and number < 3:
                    text = f" item  {number}"  # the same as in train, but for case and blanks
                run = _run([f"{part}_s"]).model_copy(update={"input": text})
                change.save(run, parent=task)
        for number, run in enumerate(golden):
            change.save(run, parent=task)
            for judge in judges:
                scores = {"right": float(1 - number % 2)}
                change.save(EvalRun(dataset_id=run.id, eval_config_eval=True, scores=scores), judge)
    described = await _described(workspace)
    weaknesses = str(described["weaknesses"])
    assert "3 inputs of its test part are also in the parts that prompts learn from" in weaknesses
    assert "its labels can measure no judge: " in weaknesses


async def test_two_tasks_are_never_made_under_one_name_and_old_ones_are_told_apart_by_handles(
    workspace: Workspace,
) -> None:
    with pytest.raises(Refusal, match="There is a task 'Answer' already: task/answer"):
        await _call(workspace, "create_project", project="P", task="ANSWER", instruction="Other.")
    store = await workspace.open_project("P")
    (first,) = await store.children(store.project, Task)
    by_hand = Task(name="Answer", instruction="Made by hand.")
    second = await store.save(by_hand, parent=store.project)
    await _call(workspace, "create_project", project="P", task="Other", instruction="Do that.")
    with pytest.raises(Refusal) as caught:
        await _call(workspace, "find", project="P")
    handles = [f"task/answer-{task.id[-4:]}" for task in (first, second)]
    for text in (*(f"Answer ({handle})" for handle in handles), ", Other", "name or id"):
        assert text in str(caught.value)
    for reference in (second.id, handles[1]):
        assert (await _call(workspace, "find", project="P", task=reference))["total"] == 0


async def test_a_task_without_an_instruction_or_name_is_refused_in_a_sentence(
    workspace: Workspace,
) -> None:
    for name, instruction in (("", "Do."), ("T", "")):
        with pytest.raises(WorkbenchError):
            await _call(
                workspace, "create_project", project="P", task=name, instruction=instruction
            )


async def test_runs_that_matter_to_no_eval_are_not_read(workspace: Workspace) -> None:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    await _measured(store, TaskRunSplit(filter_id="tag::test"))
    other = await store.save(_run(["other"]), parent=task)
    assert (await _described(workspace))["runs"] == 1
    (store.folder / other.saved.path).write_text("{")
    await _described(workspace)
    assert not store.problems
    await store.refresh()
    assert [problem.path for problem in await store.unreadable()] == [other.saved.path]


@pytest.mark.parametrize(
    "split",
    [TaskRunSplit(filter_id="saved_query::42"), EvalInputSplit(filter_id="high_rating")],
    ids=["of runs", "of inputs, which have no ratings"],
)
async def test_an_eval_with_a_filter_that_is_not_known_here_is_described_as_such(
    workspace: Workspace, split: TaskRunSplit | EvalInputSplit
) -> None:
    store = await workspace.open_project("P")
    await _measured(store, split)
    described = await _described(workspace)
    assert isinstance(described["weaknesses"], list)
    assert any(f"'{split.filter_id}'" in str(weak) for weak in described["weaknesses"])
    listed = await _call(workspace, "show_results", project="P")
    assert isinstance(listed["evals"], list)
    assert [one["test_items"] for one in listed["evals"] if isinstance(one, dict)] == [0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
async def test_links_and_pipes_in_the_place_of_records_are_named_and_never_read(
    workspace: Workspace, tmp_path: Path
) -> None:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    kept = await store.save(TaskRun(input="i", output=TaskOutput(output="o")), parent=task)
    runs, tasks = store.side_folder(kept).parent, store.folder / "tasks"
    outside = tmp_path / "outside"
    outside.mkdir()
    for folder in (runs / "1", runs / "2", tasks / "3"):
        folder.mkdir()
    (runs / "1" / "task_run.kiln").symlink_to(store.folder / kept.saved.path)
    os.mkfifo(runs / "2" / "task_run.kiln")
    os.mkfifo(tasks / "3" / "task.kiln")
    (runs / "4").symlink_to(outside)
    (store.side_folder(task) / "prompts").symlink_to(outside)
    (store.side_folder(task) / "specs").write_text("", encoding="utf-8")
    await store.refresh()
    told = await _call(workspace, "describe_project", project="P")
    link, file = "it is a link, and none is followed.", "it is no ordinary file."
    below = (store.side_folder(task)).relative_to(store.folder).as_posix()
    assert told["unreadable"] == sorted(
        [
            f"{below}/runs/1/task_run.kiln: {link}",
            f"{below}/runs/2/task_run.kiln: {file}",
            f"tasks/3/task.kiln: {file}",
            f"{below}/runs/4: {link}",
            f"{below}/prompts: {link}",
            f"{below}/specs: it is a file, where a folder of records has to be.",
        ]
    )
    (runs / "4").unlink()
    await store.refresh()
    told = await _call(workspace, "describe_project", project="P", most_faults=1)
    faults = told["unreadable"]
    assert isinstance(faults, list)
    assert faults[1:] == ["… and 4 more"]


async def test_the_first_look_at_many_files_reports_how_far_it_came(
    workspace: Workspace, tmp_path: Path
) -> None:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    run = await store.save(TaskRun(input="i", output=TaskOutput(output="o")), parent=task)
    text = (store.folder / run.saved.path).read_text(encoding="utf-8")
    for number in range(4100):
        folder = store.side_folder(task) / "runs" / f"{number:012}"
        folder.mkdir()
        (folder / "task_run.kiln").write_text(text.replace(run.id, folder.name), encoding="utf-8")
    told: list[tuple[float, str]] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        told.append((done, message or ""))

    fresh = Settings.from_environment({"KILN_MCP_HOME": str(tmp_path / "another home")})
    async with open_workspace(fresh) as other:
        heard = other.with_progress(hear)
        folder = str(store.folder)
        described = await _call(heard, "describe_project", project=folder)
        await _call(heard, "describe_project", project=folder)
    assert "'runs': 4101" in str(described)
    assert [said.split(": ")[1] for _, said in told] == [
        "2000 records so far.",
        "4000 records so far.",
    ]
    assert 0 < told[0][0] < told[1][0] < 1


async def test_damaged_lines_beside_an_eval_are_named_and_stop_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    eval_record = await store.save(
        Eval(name="Right", output_scores=(_RIGHT,), eval_set_filter_id="tag::test"), parent=task
    )
    folder = store.side_folder(eval_record)
    (folder / "kiln_mcp_labels.jsonl").write_bytes(b'{"v": 1}\n{broken\n\n[]\n\xff\xfe\n{"cut')
    (folder / "kiln_mcp_draws.jsonl").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "kiln_mcp_other.jsonl")
    described = await _call(workspace, "describe_project", project="P")
    unreadable = described["unreadable"]
    assert isinstance(unreadable, list)
    draws, labels, other = map(str, unreadable)
    assert "kiln_mcp_labels.jsonl" in labels
    assert "2, 4, 5" in labels
    assert "link" in draws
    assert "no ordinary file" in other


async def test_a_job_set_aside_is_named_wherever_somebody_looks_for_it(
    workspace: Workspace,
) -> None:
    table = JobTable(open_database(workspace.settings.database_url))
    table.create_tables()
    job = Job("a1", "run_eval", {"project": "P"})
    table.add(job)
    while table.begin(job):
        assert job.recoveries <= MOST_RECOVERIES
    (described,) = cast(
        "list[str]", (await _call(workspace, "describe_project", project="P"))["jobs_set_aside"]
    )
    assert described.startswith("a1 (run_eval): Its process was killed 4 times")
    (listed,) = cast("list[dict[str, JsonValue]]", (await _call(workspace, "check_job"))["jobs"])
    waited = await _call(workspace, "check_job", job="a1", seconds=1)
    for report in (listed, waited):
        assert (report["job"], report["state"]) == ("a1", "set aside")
        assert "so it is set aside" in str(report["error"])
        assert "resume_job" in str(report["next"])


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan("x", 60, 0.05, 0.12), "(about 60 model calls, $0.05 to $0.12)"),
        (Plan("x", 1, None, None), "(about 1 model call, price not known)"),
        (None, "as `wish`'"),
    ],
)
async def test_the_best_step_says_what_it_costs_if_that_can_be_known(
    workspace: Workspace, plan: Plan | None, words: str
) -> None:
    asked: list[JsonValue] = []

    async def estimate(
        workspace: Workspace, tool: str, arguments: Mapping[str, JsonValue]
    ) -> Plan | None:
        asked.append([tool, *arguments])
        return plan

    described = await _described(replace(workspace, estimate=estimate))
    assert words in str(described["next"])
    assert asked == [["build_spec", "project", "task"]]


async def test_a_step_whose_plan_cannot_be_made_is_proposed_without_a_cost(
    workspace: Workspace,
) -> None:
    async def estimate(
        workspace: Workspace, tool: str, arguments: Mapping[str, JsonValue]
    ) -> Plan | None:
        raise Refusal("Nothing fits.")

    described = await _described(replace(workspace, estimate=estimate))
    assert "build_spec" in str(described["next"])


async def test_an_estimate_is_the_plan_of_what_asks_models_and_nothing_else(
    tmp_path: Path,
) -> None:
    environment = {"KILN_MCP_HOME": str(tmp_path / "home"), "OPENAI_API_KEY": "k"}
    settings = Settings.from_environment(environment)
    async with installed_catalogue().open_workspace(settings) as opened:
        plan = await opened.estimate(opened, "test_model", {"model": "openai/gpt-4.1"})
        assert plan is not None
        assert plan.calls > 0
        assert plan.highest_cost_usd
        assert await opened.estimate(opened, "list_models", {}) is None
