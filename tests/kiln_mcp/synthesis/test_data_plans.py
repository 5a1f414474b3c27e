"""A plan is looked at and edited before anything is paid, and costs what it says."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from data_writer import DataWriter, data_project, runs_in, slots_in
from kiln_mcp.errors import InvalidArguments, place_text
from kiln_mcp.synthesis.answers import DataPlanReport, GeneratedData
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import Refusal


async def planned(
    workspace: Workspace, project: str, plan: JsonValue = "new", **arguments: object
) -> DataPlanReport:
    report = await generate_data(workspace, project, plan=plan, **arguments)  # pyright: ignore[reportArgumentType]
    assert isinstance(report, DataPlanReport)
    return report


async def carried_out(workspace: Workspace, project: str, plan: str) -> GeneratedData:
    result = await generate_data(workspace, project, plan=plan)
    assert isinstance(result, GeneratedData)
    return result


async def test_a_new_plan_asks_for_topics_alone_and_makes_nothing(tmp_path: Path) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        plan = await planned(workspace, project, count=20, spec="Polite")
        assert len(writer.requests) == len(writer.list_requests("topics")) == 1
        assert await runs_in(workspace, project) == []
        assert (plan.stage, plan.count, plan.calls) == ("plan", 20, 3 + 20)
        assert [row.topic for row in plan.topics] == ["topic 1a", "topic 1b", "a or c"]
        assert [row.text for row in plan.clauses] == [
            "The reply greets the customer.",
            "The reply names no price.",
        ]
        assert [row.quotas for row in plan.clauses] == [
            {"pass": 4, "fail": 4, "borderline": 2},
            {"pass": 4, "fail": 4, "borderline": 2},
        ]
        assert "free of charge" in plan.cost


async def test_a_plan_is_edited_for_nothing_and_carried_out_as_edited(tmp_path: Path) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        first = await planned(workspace, project, count=20, topics=["refunds"])
        quotas: JsonValue = [
            {"clause": "c2", "aim": "fail", "count": 6},
            {"clause": "c1", "aim": "pass", "count": 2},
        ]
        edit: dict[str, JsonValue] = {
            "id": first.id,
            "topics": ["refunds", {"path": "delivery", "guidance": "abroad", "share": 3}],
            "clauses": [{"id": "c1", "text": "It greets."}, {"id": "c2", "text": "No price."}],
            "quotas": quotas,
            "personas": ["a lawyer"],
        }
        plan = await planned(workspace, project, edit)
        assert writer.requests == []
        assert (plan.id, plan.count) == (first.id, 8)
        assert {row.topic: row.quota for row in plan.topics} == {"refunds": 2, "delivery": 6}
        made = await carried_out(workspace, project, plan.id)
        assert made.items == 8
        lines = [
            line
            for request in writer.list_requests("inputs")
            for line in slots_in(request).values()
        ]
        assert Counter("requirement: No price." in line for line in lines) == {True: 6, False: 2}
        assert all("written by: a lawyer" in line for line in lines)
        assert sum("wishes for the topic: abroad" in line for line in lines) == 6
        sources = [run.input_source for run in await runs_in(workspace, project)]
        clauses = Counter(source.properties["clause"] for source in sources if source)
        assert clauses == {"c2": 6, "c1": 2}
        with pytest.raises(Refusal, match="was carried out: its items have the tag synthetic_"):
            await generate_data(workspace, project, plan=plan.id)


@pytest.mark.parametrize(
    "settings",
    [
        {"count": 1},
        {"count": 8, "topics": ["a"]},
        {"count": 9, "topics": ["a", "b"]},
        {"count": 40, "spec": "Polite"},
        {"count": 5, "levels": 2, "width": 3, "personas": 3},
        {"count": 30, "levels": 3, "width": 2},
        {"count": 20, "topics": ["a"], "stop_after_inputs": True},
        {"inputs": ["one?", "two?", "three?"]},
    ],
)
async def test_a_plan_counts_exactly_the_calls_that_are_made(
    tmp_path: Path, settings: dict[str, JsonValue]
) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        naming = await generate_data.propose(workspace, {"project": project, "plan": settings})
        report = await naming.carry_out()
        assert isinstance(report, DataPlanReport)
        assert naming.plan.calls == len(writer.requests)
        for _ in range(1 + bool(settings.get("stop_after_inputs"))):
            writer.requests.clear()
            step = await generate_data.propose(workspace, {"project": project, "plan": report.id})
            assert writer.requests == []
            assert step.plan.calls == report.calls
            result = await step.carry_out()
            assert len(writer.requests) == report.calls
            report = result if isinstance(result, DataPlanReport) else report


@pytest.mark.parametrize("count", [1, 7, 8, 25])
async def test_generating_at_once_counts_its_topics_inputs_and_outputs(
    tmp_path: Path, count: int
) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        step = await generate_data.propose(workspace, {"project": project, "count": count})
        await step.carry_out()
        assert step.plan.calls == len(writer.requests) == 1 + -(-count // 8) + count
        assert f"At most {2 * -(-count // 8)} further calls" in step.plan.limits


async def test_a_person_looks_at_inputs_changes_them_and_has_some_written_again(
    tmp_path: Path,
) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        settings: JsonValue = {"count": 10, "topics": ["a", "b"], "stop_after_inputs": True}
        plan = await planned(workspace, project, settings)
        assert plan.calls == 2
        plan = await planned(workspace, project, plan.id)
        assert (plan.stage, len(plan.drafts), plan.calls) == ("inputs", 10, 10)
        assert await runs_in(workspace, project) == []
        edit: JsonValue = {
            "id": plan.id,
            "drop": [1, 2],
            "texts": {"3": "Mine?"},
            "rewrite": {"4": "shorter"},
        }
        plan = await planned(workspace, project, edit)
        assert (plan.stage, plan.calls) == ("inputs", 1)
        writer.requests.clear()
        plan = await planned(workspace, project, plan.id)
        (request,) = writer.requests
        assert slots_in(request)[4].endswith("a person's wish: shorter")
        assert (plan.calls, plan.drafts[3].state) == (8, "kept")
        made = await carried_out(workspace, project, plan.id)
        assert made.items == 8
        texts = {run.input for run in await runs_in(workspace, project)}
        assert texts == {draft.input for draft in plan.drafts if draft.state == "kept"}
        assert "Mine?" in texts


async def test_drafts_of_a_plan_that_was_changed_since_are_not_used(tmp_path: Path) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        settings: JsonValue = {"count": 4, "topics": ["a"], "stop_after_inputs": True}
        plan = await planned(workspace, project, settings)
        await planned(workspace, project, plan.id)
        plan = await planned(workspace, project, {"id": plan.id, "count": 6})
        assert (plan.stage, plan.drafts, plan.calls) == ("plan", [], 1)
        with pytest.raises(Refusal, match="no drafts 9"):
            await planned(workspace, project, {"id": plan.id, "drop": [9]})


async def test_a_job_that_is_killed_after_the_inputs_waits_for_the_persons_look(
    tmp_path: Path,
) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        settings: JsonValue = {"count": 4, "topics": ["a"], "stop_after_inputs": True}
        plan = await planned(workspace, project, settings)
        attempt = replace(workspace, job="4711")
        first = await planned(attempt, project, plan.id)
        again = await planned(attempt, project, plan.id)
        assert (first.stage, again) == ("inputs", first)
        assert await runs_in(workspace, project) == []


async def test_a_tree_gets_its_levels_and_knows_what_the_dataset_has(tmp_path: Path) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        await generate_data(workspace, project, count=4, topics=["parcels"])
        writer.requests.clear()
        plan = await planned(workspace, project, {"count": 9, "levels": 2, "width": 3})
        asked = writer.list_requests("topics")
        assert len(asked) == 4
        assert all("parcels: 4 items" in request.messages[-1].content for request in asked)
        assert len(plan.topics) == 9
        assert all(row.topic.count("/") == 1 for row in plan.topics)
        edit: JsonValue = {"id": plan.id, "levels": 1, "width": 2}
        plan = await planned(workspace, project, edit)
        assert len(plan.topics) == 2


async def test_a_plan_that_is_not_there_and_a_wrong_setting_name_what_is_valid(
    tmp_path: Path,
) -> None:
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        with pytest.raises(Refusal, match="no plan 'p9' of generated data"):
            await generate_data(workspace, project, plan="p9")
        with pytest.raises(InvalidArguments, match="topicz"):
            await generate_data(workspace, project, plan={"topicz": []})


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"plan": {"topicz": []}}, "plan.topicz"),
        ({"plan": {"id": "p", "hide": [""]}}, "plan.hide[0]"),
        ({"plan": {"count": True}}, "plan.count"),
        ({"plan": {"topics": [{"path": "a", "share": -1}]}}, "plan.topics[0].share"),
        ({"plan": {"topics": 3}, "topics": ["a"]}, "plan.topics"),
        ({"topics": [""]}, "topics[0].path"),
        ({"topics": [""], "plan": {"pairs": False}}, "topics[0].path"),
    ],
)
async def test_a_wrong_setting_is_named_with_the_argument_that_it_is_in(
    tmp_path: Path, arguments: dict[str, JsonValue], place: str
) -> None:
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        with pytest.raises(InvalidArguments) as refusal:
            await generate_data.propose(workspace, {"project": project, **arguments})
    assert [place_text(problem.place) for problem in refusal.value.problems] == [place]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"topics": [{"path": "a", "share": 0}]}, "Every topic of the plan has the share 0"),
        ({"quotas": [{"clause": "c9", "aim": "fail", "count": 2}]}, "does not have: c9"),
    ],
)
async def test_a_plan_that_cannot_be_carried_out_is_refused_when_it_is_made_or_edited(
    tmp_path: Path, settings: dict[str, JsonValue], reason: str
) -> None:
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        with pytest.raises(Refusal, match=reason):
            await planned(workspace, project, {"topics": ["a"], **settings})
        plan = await planned(workspace, project, topics=["a"])
        with pytest.raises(Refusal, match=reason):
            await planned(workspace, project, {"id": plan.id, **settings})


async def test_topics_that_get_no_item_are_named(tmp_path: Path) -> None:
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        topics: list[JsonValue] = [f"topic {number}" for number in range(9)]
        plan = await planned(workspace, project, {"topics": topics, "count": 3})
        assert any(text.startswith("6 topics get no item: ") for text in plan.warnings)
        assert any(text.endswith("Raise the count to 9.") for text in plan.warnings)
        plan = await planned(workspace, project, {"topics": topics, "count": 9})
        assert not any("get no item" in text for text in plan.warnings)


async def test_models_of_one_family_are_named(tmp_path: Path) -> None:
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        plan = await planned(workspace, project, topics=["a"])
        assert "one family" in plan.warnings[0]
