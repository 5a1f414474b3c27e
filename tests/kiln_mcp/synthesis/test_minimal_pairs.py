"""What is kept as a minimal pair breaks exactly the clause that it was to break."""

import json
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from clause_judges import ClauseWorld, World, broken_in
from data_writer import MODEL, carried_out, data_project, planned, runs_in
from kiln_mcp.datasets.items import is_known_right
from kiln_mcp.synthesis.answers import DataPlanReport, GeneratedData
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.synthesis.report_service import report_data
from kiln_mcp.workbench.workspace import Workspace
from storage import TaskRun
from storage.errors import Refusal

FAIL_ONLY: list[JsonValue] = [
    {"clause": clause, "aim": "fail", "count": 15} for clause in ("c1", "c2")
]


async def made_pairs(
    workspace: Workspace, project: str, **settings: JsonValue
) -> tuple[GeneratedData, list[TaskRun]]:
    plan: dict[str, JsonValue] = {"topics": ["a", "b"], "spec": "Polite", "pairs": True}
    report = await planned(workspace, project, {**plan, **settings})
    made = await carried_out(workspace, project, report.id)
    return made, await runs_in(workspace, project)


def source_of(run: TaskRun) -> dict[str, str | int | float]:
    assert run.output.source is not None
    return run.output.source.properties


async def test_pairs_kept_by_erring_judges_break_exactly_their_clause(tmp_path: Path) -> None:
    kept = exact = 0
    for seed, error in enumerate([0.05, 0.1, 0.15]):
        world = ClauseWorld(World(error=error, side_effect=0.15), seed)
        async with data_project(tmp_path / str(seed), world) as (workspace, project):
            _, runs = await made_pairs(workspace, project, quotas=FAIL_ONLY)
            pairs = [run for run in runs if "minimal_pair" in run.tags]
            kept += len(pairs)
            exact += sum(
                broken_in(run.output.output) == {source_of(run)["broken_clause"]} for run in pairs
            )
    assert kept >= 30
    assert exact >= 0.95 * kept


async def test_a_pair_keeps_what_it_was_edited_from_and_how_it_was_verified(
    tmp_path: Path,
) -> None:
    world = ClauseWorld(World(error=0.0, success=1.0, side_effect=0.0))
    async with data_project(tmp_path, world) as (workspace, project):
        made, runs = await made_pairs(workspace, project, quotas=FAIL_ONLY)
        assert (made.items, made.verified_items) == (30, 30)
        assert [(row.clause, row.outcome, row.items) for row in made.by_outcome] == [
            ("c1", "fail", 15),
            ("c2", "fail", 15),
        ]
        assert [step.tool for step in made.next] == ["label_items", "split_data"]
        run, source = runs[0], source_of(runs[0])
        assert source["outcome"] == "fail"
        assert broken_in(str(source["passing_output"])) == set()
        verification = json.loads(str(source["verification"]))
        assert verification["by"] == [MODEL] * 3
        assert verification["broken_votes"][str(source["broken_clause"])] == 3
        assert verification["exactness"] >= 0.95
        assert not is_known_right(run)
        assert run.trace is None


async def test_the_difficulty_of_a_pair_is_the_share_of_verdicts_against_it(
    tmp_path: Path,
) -> None:
    world = ClauseWorld(World(error=0.15, success=1.0, side_effect=0.0))
    models = tuple(f"other/{number}" for number in range(7))
    async with data_project(tmp_path, world, models=models) as (workspace, project):
        made, runs = await made_pairs(workspace, project, quotas=FAIL_ONLY, checkers=[*models])
        pairs = [source_of(run) for run in runs if "minimal_pair" in run.tags]
        votes = [
            json.loads(str(own["verification"]))["broken_votes"][str(own["broken_clause"])]
            for own in pairs
        ]
        assert [own["difficulty"] for own in pairs] == [round(1 - vote / 7, 4) for vote in votes]
        assert {(own["verdicts"], own["judges"]) for own in pairs} == {(7, 7)}
        assert len({own["difficulty"] for own in pairs}) >= 2
        report = await report_data(workspace, project)
        assert report.difficulties == made.difficulties
        assert sum(row.items for row in report.difficulties) == len(pairs)
        row = report.difficulties[0]
        own_pairs = [own for own in pairs if own["broken_clause"] == row.clause]
        shares = [float(own["difficulty"]) for own in own_pairs]
        assert row.difficulty == pytest.approx(sum(shares) / len(shares), abs=1e-3)
        assert next(iter(row.hardest.values())) == max(shares)
        page = await anyio.Path(report.page).read_text(encoding="utf-8")
        assert next(iter(row.hardest)) in page


async def test_an_edit_that_breaks_more_is_left_out_and_the_report_says_why(
    tmp_path: Path,
) -> None:
    world = ClauseWorld(World(error=0.0, success=1.0, side_effect=1.0))
    async with data_project(tmp_path, world) as (workspace, project):
        made, runs = await made_pairs(workspace, project, quotas=FAIL_ONLY)
        assert not any("minimal_pair" in run.tags for run in runs)
        rows = {(row.clause, row.outcome): row for row in made.by_outcome}
        assert rows["c1", "fail"].items == 0
        assert rows["c1", "fail"].why == "15: came out as pass: no edit broke this clause alone"
        assert rows["c1", "pass"].items == 15


async def test_borderline_outputs_are_those_on_which_the_judges_disagree(tmp_path: Path) -> None:
    quotas: JsonValue = [{"clause": "c1", "aim": "borderline", "count": 24}]
    world = ClauseWorld(World(error=0.02, side_effect=0.0, disputed=0.1))
    async with data_project(tmp_path, world) as (workspace, project):
        made, runs = await made_pairs(workspace, project, quotas=quotas)
        pairs = [run for run in runs if source_of(run).get("outcome") == "borderline"]
        votes = [json.loads(str(source_of(run)["verification"]))["broken_votes"] for run in pairs]
        assert len(pairs) >= 8
        assert all(vote["c1"] in {1, 2} for vote in votes)
        assert {source_of(run)["difficulty"] for run in pairs} == {0.3333}
        assert "the judges do not disagree on any edit" in made.by_outcome[0].why


async def test_an_output_that_fails_by_itself_is_kept_as_a_failing_one(tmp_path: Path) -> None:
    quotas: JsonValue = [{"clause": "c1", "aim": "pass", "count": 20}]
    world = ClauseWorld(World(error=0.0, flawed=0.3), seed=3)
    async with data_project(tmp_path, world) as (workspace, project):
        made, runs = await made_pairs(workspace, project, quotas=quotas)
        for run in runs:
            broken = broken_in(run.output.output)
            outcome = source_of(run).get("outcome")
            assert outcome == {0: "pass", 1: "fail"}.get(len(broken))
            assert source_of(run).get("broken_clause", "") in {*broken, ""}
        counts = {row.outcome: row.items for row in made.by_outcome}
        assert counts["fail"] > 0


async def test_pairs_are_counted_as_they_are_called(tmp_path: Path) -> None:
    world = ClauseWorld(World(error=0.0, success=1.0, side_effect=0.0))
    plan: dict[str, JsonValue] = {"topics": ["a"], "spec": "Polite", "pairs": True}
    plan["quotas"] = [
        {"clause": "c1", "aim": "pass", "count": 8},
        {"clause": "c2", "aim": "fail", "count": 12},
    ]
    async with data_project(tmp_path, world, models=("other/one", "other/two")) as opened:
        workspace, project = opened
        shapes: list[list[JsonValue]] = [[], ["other/one", "other/two"], ["other/one"]]
        for seed, checkers in enumerate(shapes):
            world.requests.clear()
            settings: dict[str, JsonValue] = {**plan, "checkers": checkers, "seed": seed}
            step = await generate_data.propose(workspace, {"project": project, "plan": settings})
            report = await step.carry_out()
            assert isinstance(report, DataPlanReport)
            is_judged_by_others = any("checks what" in text for text in report.warnings)
            assert is_judged_by_others == (not checkers)
            await generate_data(workspace, project, plan=report.id)
            assert len(world.requests) == report.calls == 3 + 20 + 20 * 3 + 12 * (1 + 3)


async def test_edits_that_are_not_kept_are_replaced_at_the_cost_that_the_plan_names(
    tmp_path: Path,
) -> None:
    world = ClauseWorld(World(error=0.0, success=0.5, side_effect=0.0), seed=2)
    async with data_project(tmp_path, world) as (workspace, project):
        made, _ = await made_pairs(workspace, project, quotas=FAIL_ONLY)
        # Of 30 edits, a half fails each time; an eighth of all outputs is left after three.
        assert sum(row.items for row in made.by_outcome if row.outcome == "fail") >= 24
    world = ClauseWorld(World(error=0.0, success=0.0, side_effect=0.0))
    async with data_project(tmp_path / "b", world) as (workspace, project):
        plan: JsonValue = {"topics": ["a"], "spec": "Polite", "pairs": True, "quotas": FAIL_ONLY}
        report = await planned(workspace, project, plan)
        world.requests.clear()
        await carried_out(workspace, project, report.id)
        spare_inputs = 2 * 4
        assert report.spare_calls == spare_inputs + 2 * 30 * (1 + 3)
        assert len(world.requests) == report.calls + report.spare_calls - spare_inputs


async def test_pairs_without_clauses_are_refused(tmp_path: Path) -> None:
    async with data_project(tmp_path, ClauseWorld(World())) as (workspace, project):
        with pytest.raises(Refusal, match="Name the `spec`"):
            await generate_data(workspace, project, plan={"topics": ["a"], "pairs": True})
