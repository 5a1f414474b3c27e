"""What people do with runs, through the catalogue."""

import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from kiln_mcp.approvals.errors import MissingApproval
from kiln_mcp.catalogue import installed_catalogue
from kiln_mcp.errors import InvalidArguments
from kiln_mcp.workbench.workspace import Workspace
from storage import (
    Eval,
    EvalInputSplit,
    EvalOutputScore,
    RequirementRating,
    Task,
    TaskOutputRating,
    TaskRequirement,
    TaskRun,
    TaskRunSplit,
)
from storage.errors import Refusal


def alone(workspace: Workspace) -> Workspace:
    """Return the workspace of a caller who reaches no person."""
    return replace(workspace, person=None)


async def _call(workspace: Workspace, tool: str, /, **arguments: JsonValue) -> dict[str, JsonValue]:
    return await installed_catalogue().perform(workspace, tool, arguments)


async def _import(workspace: Workspace, folder: Path) -> list[str]:
    file = anyio.Path(folder) / "table.csv"
    await file.write_text("input,output,tags\none,eins,a\ntwo,,\nthree,drei,b\n", encoding="utf-8")
    report = await _call(workspace, "add_data", project="P", file=str(file), tags=["imported"])
    assert report["new_items"] == 2
    assert report["bad_rows"] == ["line 3: its output is empty, and other rows have one"]
    page = await _call(workspace, "find", project="P", order="oldest")
    runs = page["runs"]
    assert isinstance(runs, list)
    return [str(run["id"]) for run in runs if isinstance(run, dict)]


async def test_runs_are_imported_found_rated_tagged_repaired_and_exported(
    workspace: Workspace, tmp_path: Path
) -> None:
    first, second = await _import(workspace, tmp_path)
    await _call(
        workspace,
        "create_evaluator",
        project="P",
        eval="Right",
        type="exact_match",
        reference_key="reference_answer",
        test_filter="tag::imported",
    )
    rated = await _call(
        workspace, "mark_runs", project="P", runs=[first], stars=5, scores={"Right": True}
    )
    assert (rated["rating"], rated["score_ratings"]) == (5, {"Right": "pass"})
    await _call(workspace, "mark_runs", project="P", runs=[first, second], add_tags=["golden"])
    repaired = await _call(
        workspace,
        "mark_runs",
        project="P",
        runs=[second],
        output="DREI",
        reason="In capitals.",
    )
    assert (repaired["output"], repaired["repaired_output"]) == ("drei", "DREI")
    page = await _call(workspace, "find", project="P", filter="high_rating")
    assert page["total"] == 2
    page = await _call(workspace, "find", project="P", text="three", limit=1)
    assert page["total"] == 1
    out = tmp_path / "out.jsonl"
    report = await _call(workspace, "export", project="P", file=str(out))
    assert report["runs"] == 2
    assert '"golden"' in await anyio.Path(out).read_text(encoding="utf-8")


async def test_a_deleted_run_comes_back_from_the_trash_until_it_is_emptied(
    workspace: Workspace, tmp_path: Path
) -> None:
    first, second = await _import(workspace, tmp_path)
    trash = await _call(workspace, "delete_records", project="P", kind="run", records=[first])
    records = trash["records"]
    assert isinstance(records, list)
    (deleted,) = records
    assert isinstance(deleted, dict)
    assert (await _call(workspace, "find", project="P"))["total"] == 1
    await _call(workspace, "restore", project="P", key=deleted["key"])
    assert (await _call(workspace, "find", project="P"))["total"] == 2
    await _call(workspace, "delete_records", project="P", kind="run", records=[second])
    with pytest.raises(MissingApproval, match="Remove 1 record in the trash for good"):
        await _call(alone(workspace), "empty_trash", project="P")
    emptied = await _call(workspace, "empty_trash", project="P")
    assert emptied["removed"] == 1
    assert not (await _call(workspace, "find", project="P", kind="trash"))["records"]


async def test_a_project_is_shared_fetched_and_synced_and_a_change_undone(
    workspace: Workspace, tmp_path: Path
) -> None:
    hub = str(tmp_path / "hub.git")
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", hub], check=True)  # noqa: ASYNC221
    first, _ = await _import(workspace, tmp_path)
    await _call(workspace, "sync_project", project="P", remote=hub)
    assert (await _call(workspace, "sync_project", project="P"))["is_sent"] is True
    other = str(tmp_path / "other")
    await _call(workspace, "create_project", copy_from=hub, folder=other)
    await _call(workspace, "mark_runs", project=other, runs=[first], stars=2)
    await _call(workspace, "sync_project", project=other)
    received = await _call(workspace, "sync_project", project=str(tmp_path / "p"))
    assert received["incoming"] == "Rate 1 run"
    history = await _call(workspace, "show_history", project=other, kind="run", record=first)
    changes = history["changes"]
    assert isinstance(changes, list)
    latest = changes[0]
    assert isinstance(latest, dict)
    assert latest["done"] == "rate"
    await _call(
        workspace,
        "undo_change",
        project=other,
        kind="run",
        record=first,
        change=latest["change"],
    )
    assert "rating" not in await _call(workspace, "read", project=other, record=first)


async def test_every_scale_is_rated_in_its_words_and_kept_where_kiln_looks_for_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    first, _ = await _import(workspace, tmp_path)
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    short = TaskRequirement(name="Short", instruction="Few words.")
    task = await store.save(task.replace(requirements=(short,)))
    scores = (
        EvalOutputScore(name="Safe", type="pass_fail_critical"),
        EvalOutputScore(name="Short", type="five_star"),
    )
    test: dict[str, TaskRunSplit | EvalInputSplit] = {"test": TaskRunSplit(filter_id="all")}
    await store.save(Eval(name="E", output_scores=scores, splits=test), parent=task)
    given: dict[str, JsonValue] = {"Safe": "critical", "Short": 4}
    rated = await _call(workspace, "mark_runs", project="P", runs=[first], scores=given)
    assert rated["score_ratings"] == {"Safe": "critical", "Short": 4}
    kept = (await store.get(TaskRun, first)).output.rating
    assert kept is not None
    assert kept.requirement_ratings == {
        "named::Safe": RequirementRating(value=-1, type="pass_fail_critical"),
        short.id: RequirementRating(value=4, type="five_star"),
    }
    for name, said, valid in (
        ("Safe", "maybe", "pass, fail, critical"),
        ("Safe", 0.5, "pass, fail, critical"),
        ("Safe", "nan", "pass, fail, critical"),
        ("Short", 0, "1, 2, 3, 4, 5"),
        ("Short", True, "1, 2, 3, 4, 5"),
    ):
        with pytest.raises(Refusal, match=f"'{name}' cannot be rated .* valid are {valid}"):
            await _call(workspace, "mark_runs", project="P", runs=[first], scores={name: said})
    assert (await store.get(TaskRun, first)).output.rating == kept
    for safe, word in ((1, "pass"), (0, "fail"), (-1, "critical"), (True, "pass"), ("0", "fail")):
        given = {"safe": safe, "SHORT": "5"}
        rated = await _call(workspace, "mark_runs", project="P", runs=[first], scores=given)
        assert rated["score_ratings"] == {"Safe": word, "Short": 5}
    with pytest.raises(InvalidArguments, match="'stars' is wrong: it has to be a number"):
        await _call(workspace, "mark_runs", project="P", runs=[first], stars=True)


async def test_an_overall_rating_on_a_scale_of_words_is_no_number_of_stars(
    workspace: Workspace, tmp_path: Path
) -> None:
    first, _ = await _import(workspace, tmp_path)
    store = await workspace.open_project("P")
    run = await store.get(TaskRun, first)
    rating = TaskOutputRating(type="pass_fail", value=1)
    await store.save(run.replace(output=run.output.replace(rating=rating)))
    assert (await _call(workspace, "read", project="P", record=first))["rating"] == "pass"
    page = await _call(workspace, "find", project="P", is_rated=True)
    assert isinstance(page["runs"], list)
    assert [run["rating"] for run in page["runs"] if isinstance(run, dict)] == ["pass"]


async def test_long_texts_of_a_run_are_cut_and_say_how_much_is_left_out(
    workspace: Workspace, tmp_path: Path
) -> None:
    first, _ = await _import(workspace, tmp_path)
    long = "x" * 3_000_000
    repair: dict[str, JsonValue] = {"output": long, "reason": "y" * 101}
    answered = await _call(workspace, "mark_runs", project="P", runs=[first], **repair)
    assert answered["repaired_output"] == "x" * 4000 + "… (2996000 more characters)"
    read = await _call(workspace, "read", project="P", record=first, longest=100)
    assert read["repair_instructions"] == "y" * 100 + "… (1 more characters)"
    whole = await _call(workspace, "read", project="P", record=first, longest=len(long))
    assert whole["repaired_output"] == long


async def test_a_rating_that_is_taken_away_leaves_the_others_and_at_last_nothing(
    workspace: Workspace, tmp_path: Path
) -> None:
    first, _ = await _import(workspace, tmp_path)
    store = await workspace.open_project("P")
    (task,) = await store.children(store.project, Task)
    short = TaskRequirement(name="Short", instruction="Few words.")
    await store.save(task.replace(requirements=(short,)))
    before = await store.get(TaskRun, first)
    # Under its name, as ratings of scores lie.
    named = {"named::Short": RequirementRating(value=2)}
    rating = TaskOutputRating(requirement_ratings=named)
    await store.save(before.replace(output=before.output.replace(rating=rating)))
    rated = await _call(
        workspace, "mark_runs", project="P", runs=[first], stars=5, scores={"Short": 3}
    )
    assert (rated["rating"], rated["score_ratings"]) == (5, {"Short": 3})
    left = await _call(workspace, "mark_runs", project="P", runs=[first], scores={"Short": None})
    assert (left["rating"], left.get("score_ratings", {})) == (5, {})
    none = await _call(workspace, "mark_runs", project="P", runs=[first], stars=0)
    assert "rating" not in none
    assert (await store.get(TaskRun, first)).output.rating is None
    assert (await _call(workspace, "find", project="P", is_rated=True))["total"] == 0


async def test_a_rating_of_nothing_or_of_an_unknown_score_and_an_unusable_tag_are_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    first, _ = await _import(workspace, tmp_path)
    with pytest.raises(Refusal):
        await _call(workspace, "mark_runs", project="P", runs=[first])
    with pytest.raises(Refusal, match="no eval yet"):
        await _call(workspace, "mark_runs", project="P", runs=[first], scores={"Nope": True})
    for tag in ("", "a b", "a\x1b[31mb", "x" * 5000):
        with pytest.raises(Refusal):
            await _call(workspace, "mark_runs", project="P", runs=[first], add_tags=[tag])
    with pytest.raises(Refusal, match="one run, its `output` and the `reason`"):
        await _call(workspace, "mark_runs", project="P", runs=[first], output="x")
    with pytest.raises(Refusal, match="good cannot be added and removed"):
        await _call(
            workspace,
            "mark_runs",
            project="P",
            runs=[first],
            add_tags=["good"],
            remove_tags=["good"],
        )
    read = await _call(workspace, "read", project="P", record=first)
    assert "rating" not in read
    assert read["tags"] == ["a", "imported"]


async def test_tags_and_ratings_that_several_give_at_once_are_all_kept(
    workspace: Workspace, tmp_path: Path
) -> None:
    run, _ = await _import(workspace, tmp_path)
    calls = [
        *(("mark_runs", {"runs": [run], "add_tags": [f"t{number}"]}) for number in range(6)),
        ("mark_runs", {"runs": [run], "remove_tags": ["a"]}),
        ("mark_runs", {"runs": [run], "stars": 4}),
    ]
    async with anyio.create_task_group() as group:
        for tool, arguments in calls:
            group.start_soon(partial(_call, workspace, tool, project="P", **arguments))
    found = await _call(workspace, "read", project="P", record=run)
    assert isinstance(found["tags"], list)
    assert {str(tag) for tag in found["tags"]} == {"imported", *(f"t{n}" for n in range(6))}
    assert found["rating"] == 4
