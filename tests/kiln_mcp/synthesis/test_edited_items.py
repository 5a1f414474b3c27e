"""A person looks at what a plan made, edits it, has it made again with a note, and deletes it."""

from pathlib import Path

import pytest
from pydantic import JsonValue

from data_writer import DataWriter, carried_out, data_project, planned, runs_in
from kiln_mcp.datasets.items import data_set
from kiln_mcp.llm import ModelRequest
from kiln_mcp.projects.runs.service import mark_runs
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.workbench.workspace import Workspace
from storage import TaskRun
from storage.errors import Refusal


async def made_plan(
    workspace: Workspace, project: str, **settings: JsonValue
) -> tuple[str, dict[str, TaskRun]]:
    """Return the id of a plan that was carried out, and its items by the numbers of its drafts."""
    plan = await planned(workspace, project, {"count": 4, "topics": ["a"], **settings})
    await carried_out(workspace, project, plan.id)
    runs = {run.id: run for run in await runs_in(workspace, project)}
    report = await planned(workspace, project, {"id": plan.id})
    return plan.id, {str(draft.number): runs[draft.item] for draft in report.drafts}


async def items_in(workspace: Workspace, project: str) -> dict[str, TaskRun]:
    return {run.input: run for run in data_set(await runs_in(workspace, project))}


async def test_a_plan_that_was_carried_out_shows_the_item_of_each_draft(tmp_path: Path) -> None:
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        plan, items = await made_plan(workspace, project)
        report = await planned(workspace, project, {"id": plan})
        assert report.stage == "done"
        assert {draft.state for draft in report.drafts} == {"made"}
        assert [draft.input for draft in report.drafts] == [run.input for run in items.values()]


async def test_an_edited_input_becomes_a_new_item_that_keeps_its_origin_and_its_part(
    tmp_path: Path,
) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        plan, items = await made_plan(workspace, project)
        earlier = items["2"]
        await mark_runs(workspace, project, [earlier.id], add_tags=["train_s"])
        report = await planned(workspace, project, {"id": plan, "texts": {"2": "My own words?"}})
        assert (report.stage, report.calls) == ("inputs", 1)
        writer.requests.clear()
        made = await carried_out(workspace, project, plan)
        assert (made.items, made.replaced_items, len(writer.requests)) == (1, 1, 1)
        after = await items_in(workspace, project)
        assert len(after) == 4
        assert earlier.input not in after
        new = after["My own words?"]
        assert "train_s" in new.tags
        assert new.input_source is not None
        assert earlier.input_source is not None
        properties = new.input_source.properties
        assert properties["edited_from"] == earlier.id
        assert properties["edited_by"] == workspace.author
        assert properties["topic_path"] == earlier.input_source.properties["topic_path"]
        assert [row.quota for row in made.by_topic] == [1]


async def test_an_input_is_written_again_with_a_note_after_its_item_was_made(
    tmp_path: Path,
) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        plan, items = await made_plan(workspace, project)
        report = await planned(workspace, project, {"id": plan, "rewrite": {"1": "angrier"}})
        assert report.calls == 2
        writer.requests.clear()
        await carried_out(workspace, project, plan)
        (request,) = writer.list_requests("inputs")
        assert "a person's wish: angrier" in request.messages[-1].content
        after = await items_in(workspace, project)
        assert (len(after), items["1"].input in after) == (4, False)


async def test_a_task_output_is_made_again_as_another_sample(tmp_path: Path) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        plan, items = await made_plan(workspace, project)
        await planned(workspace, project, {"id": plan, "redo": {"3": ""}})
        await carried_out(workspace, project, plan)
        after = await items_in(workspace, project)
        again = after[items["3"].input]
        assert again.id != items["3"].id
        assert again.output.output != items["3"].output.output
        assert len(after) == 4


async def test_outputs_that_come_out_as_before_are_counted_and_said(tmp_path: Path) -> None:
    def echo(request: ModelRequest) -> str:
        """Answer alike whatever the seed, as a model does at temperature 0."""
        return f"About: {request.messages[-1].content}"

    async with data_project(tmp_path, DataWriter(echo)) as (workspace, project):
        plan, _ = await made_plan(workspace, project)
        await planned(workspace, project, {"id": plan, "redo": {"2": "", "3": ""}})
        made = await carried_out(workspace, project, plan)
        assert (made.replaced_items, made.unchanged_items) == (2, 2)
        assert "the same as before: 2" in made.warnings[0]
        edit: JsonValue = {"id": plan, "texts": {"3": "Another question?"}}
        await planned(workspace, project, edit)
        made = await carried_out(workspace, project, plan)
        assert (made.replaced_items, made.unchanged_items) == (1, 0)


async def test_an_earlier_item_stands_if_its_output_could_not_be_made_again(
    tmp_path: Path,
) -> None:
    def answer(request: ModelRequest) -> str:
        """Answer each input once, and those that hold the word again as well."""
        text = request.messages[-1].content
        asked_texts.append(text)
        return "" if text != "Mine?" and asked_texts.count(text) > 1 else f"About: {text}"

    asked_texts: list[str] = []
    async with data_project(tmp_path, DataWriter(answer)) as (workspace, project):
        plan, items = await made_plan(workspace, project)
        edit: JsonValue = {"id": plan, "redo": {"3": ""}, "texts": {"2": "Mine?"}}
        await planned(workspace, project, edit)
        made = await carried_out(workspace, project, plan)
        assert (made.items, made.failed) == (1, 1)
        assert "earlier outputs stand: the drafts 3." in made.warnings[0]
        drafts = (await planned(workspace, project, {"id": plan})).drafts
        assert [draft.state for draft in drafts] == ["made"] * 4
        assert drafts[2].item == items["3"].id


async def test_the_writer_of_a_reference_is_told_what_the_person_wishes(tmp_path: Path) -> None:
    writer = DataWriter()
    async with data_project(tmp_path, writer) as (workspace, project):
        plan, items = await made_plan(workspace, project, outputs="reference")
        await planned(workspace, project, {"id": plan, "redo": {"1": "name the law"}})
        writer.requests.clear()
        await carried_out(workspace, project, plan)
        told = [r for r in writer.requests if "wishes: name the law" in r.messages[0].content]
        assert len(told) == 1
        after = await items_in(workspace, project)
        assert after[items["1"].input].id != items["1"].id


async def test_items_are_deleted_as_records_and_unmade_outputs_are_not_made_again(
    tmp_path: Path,
) -> None:
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        plan, items = await made_plan(workspace, project)
        with pytest.raises(Refusal, match=items["1"].id):
            await planned(workspace, project, {"id": plan, "drop": [1]})
        settings: JsonValue = {"count": 2, "topics": ["b"], "stop_after_inputs": True}
        other = await planned(workspace, project, settings)
        await planned(workspace, project, other.id)
        with pytest.raises(Refusal, match="have no output yet"):
            await planned(workspace, project, {"id": other.id, "redo": {"1": ""}})


async def test_an_edited_input_must_fit_the_schema_of_the_task(tmp_path: Path) -> None:
    schema = '{"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}'

    class ObjectWriter(DataWriter):
        def inputs(self, request: ModelRequest, number: int) -> list[dict[str, object]]:
            own = super().inputs(request, number)
            return [{**item, "input": {"q": item["input"]}} for item in own]

    async with data_project(tmp_path, ObjectWriter(), input_schema=schema) as (workspace, project):
        plan, _ = await made_plan(workspace, project)
        with pytest.raises(Refusal, match="Item 2 cannot be used: its input"):
            await planned(workspace, project, {"id": plan, "texts": {"2": '{"p": 1}'}})
        await planned(workspace, project, {"id": plan, "texts": {"2": '{"q": "Mine?"}'}})
        await carried_out(workspace, project, plan)
        assert '{"q": "Mine?"}' in await items_in(workspace, project)


async def test_a_deleted_plan_is_gone_and_its_items_stay(tmp_path: Path) -> None:
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        plan, _ = await made_plan(workspace, project)
        with pytest.raises(Refusal, match="was not deleted"):
            await planned(workspace, project, {"id": plan, "delete": True, "seed": 3})
        await planned(workspace, project, {"id": plan, "delete": True})
        with pytest.raises(Refusal, match="no plan"):
            await generate_data(workspace, project, plan=plan)
        assert len(await items_in(workspace, project)) == 4


class UnwillingWriter(DataWriter):
    """Writes no input for the slots 3 and 4 unless a note says so."""

    def inputs(self, request: ModelRequest, number: int) -> list[dict[str, object]]:
        texts = super().inputs(request, number)
        is_asked = "please" in request.messages[-1].content
        return [text for text in texts if is_asked or text["slot"] not in {3, 4}]


async def test_inputs_that_were_never_written_are_named_and_can_be_written_after_all(
    tmp_path: Path,
) -> None:
    async with data_project(tmp_path, UnwillingWriter()) as (workspace, project):
        settings: JsonValue = {"count": 4, "topics": ["a"], "stop_after_inputs": True}
        plan = await planned(workspace, project, settings)
        report = await planned(workspace, project, plan.id)
        assert [draft.state for draft in report.drafts] == ["kept", "kept", "missing", "missing"]
        assert report.warnings[0].startswith("No usable input was written for 2 of 4: 3, 4.")
        assert report.calls == 2
        with pytest.raises(Refusal, match=r"drafts 3 .* would have no input"):
            await planned(workspace, project, {"id": plan.id, "texts": {"3": {"output": "x"}}})
        edit: JsonValue = {"id": plan.id, "texts": {"3": "Mine?"}, "rewrite": {"4": "please"}}
        await planned(workspace, project, edit)
        report = await planned(workspace, project, plan.id)
        assert {draft.state for draft in report.drafts} == {"kept"}
        assert report.drafts[2].input == "Mine?"
        made = await carried_out(workspace, project, plan.id)
        assert [(row.quota, row.items) for row in made.by_topic] == [(4, 4)]


async def test_a_result_counts_inputs_that_were_never_written_as_missing(tmp_path: Path) -> None:
    async with data_project(tmp_path, UnwillingWriter()) as (workspace, project):
        settings: JsonValue = {"count": 4, "topics": ["a"], "stop_after_inputs": True}
        plan = await planned(workspace, project, settings)
        await planned(workspace, project, plan.id)
        await planned(workspace, project, {"id": plan.id, "drop": [1, 4]})
        step = await generate_data.propose(workspace, {"project": project, "plan": plan.id})
        assert step.plan.text.startswith("Generate 1 items")
        made = await carried_out(workspace, project, plan.id)
        assert [(row.quota, row.items) for row in made.by_topic] == [(2, 1)]
        assert "1: no usable input was written" in {row.why for row in made.by_outcome}
        plan_after = await planned(workspace, project, {"id": plan.id})
        states = [draft.state for draft in plan_after.drafts]
        assert states == ["dropped", "made", "missing", "dropped"]
        assert (plan_after.calls, plan_after.cost) == (0, "No step is left that asks a model.")
        await planned(workspace, project, {"id": plan.id, "rewrite": {"3": "please"}})
        await planned(workspace, project, plan.id)
        made = await carried_out(workspace, project, plan.id)
        assert (made.items, len(await items_in(workspace, project))) == (1, 2)
        deleted = await planned(workspace, project, {"id": plan.id, "delete": True})
        assert (deleted.calls, deleted.cost) == (0, "No step is left that asks a model.")
