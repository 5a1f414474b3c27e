"""Conversations of a plan are held with simulated users and kept as Kiln keeps them."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from data_writer import (
    DataWriter,
    carried_out,
    data_project,
    planned,
    played_user,
    runs_in,
    users_for,
)
from kiln_mcp.datasets.items import data_set
from kiln_mcp.datasets.summaries import summary_of
from kiln_mcp.evals.eval_items import conversation_text, item_of
from kiln_mcp.llm import ModelRequest
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.synthesis.service import split_data
from storage import TaskRun
from storage.errors import Refusal

SETTINGS: dict[str, JsonValue] = {"count": 6, "topics": ["a", "b"], "turns": 4}


class Cast(DataWriter):
    """Invents users, plays them and answers them: every third ends, every third gives up."""

    def inputs(self, request: ModelRequest, number: int) -> list[dict[str, object]]:
        return users_for(request, number)

    def __call__(self, request: ModelRequest) -> str:
        slot = played_user(request)
        if slot is None:
            return super().__call__(request)
        self.requests.append(request)
        turns = sum(message.role == "assistant" for message in request.messages)
        if turns < 2 or slot % 3 == 0:
            return f"turn {turns + 1} of person {slot}"
        return "[END]" if slot % 3 == 1 else "No. [GIVE UP]"


def stop_of(run: TaskRun) -> object:
    assert run.output.source is not None
    return run.output.source.properties["stop"]


@pytest.mark.parametrize("turn_mode", ["multiturn", "single_turn"])
async def test_each_conversation_is_one_item_that_says_how_it_ended(
    tmp_path: Path, turn_mode: str
) -> None:
    async with data_project(tmp_path, Cast(), turn_mode=turn_mode) as (workspace, project):
        plan = await planned(workspace, project, SETTINGS)
        made = await carried_out(workspace, project, plan.id)
        assert (made.items, made.failed) == (6, 0)
        assert made.stops == {"goal": 2, "gave_up": 2, "turns": 2}
        items = data_set(await runs_in(workspace, project))
        assert Counter(map(stop_of, items)) == made.stops
        for run in items:
            turns = {"turns": 4}.get(str(stop_of(run)), 2)
            assert len(run.user_turns) == turns
            assert run.trace is not None
            assert [message.role for message in run.trace] == [
                "system",
                *["user", "assistant"] * turns,
            ]
            assert ("synthetic_user_ended_conversation" in run.tags) == (stop_of(run) != "turns")
            assert run.input_source is not None
            assert str(run.input_source.properties["goal"]).startswith("Goal ")
            assert run.synthetic_user_usage is not None


async def test_a_multi_turn_task_keeps_a_run_for_each_turn(tmp_path: Path) -> None:
    async with data_project(tmp_path, Cast(), turn_mode="multiturn") as (workspace, project):
        plan = await planned(workspace, project, SETTINGS)
        await carried_out(workspace, project, plan.id)
        runs = {run.id: run for run in await runs_in(workspace, project)}
        assert len(runs) == 2 * 4 + 4 * 2
        for item in data_set(list(runs.values())):
            chain = [item]
            while (previous := chain[0].parent_task_run_id) is not None:
                chain.insert(0, runs[previous])
            assert tuple(run.input for run in chain) == item.user_turns
            lengths = [len(run.trace or ()) for run in chain]
            assert lengths == [3 + 2 * number for number in range(len(chain))]
            assert [run.tags != () for run in chain] == [False] * (len(chain) - 1) + [True]


@pytest.mark.parametrize("turn_mode", ["multiturn", "single_turn"])
async def test_an_eval_answers_the_last_turn_after_the_turns_before_it(
    tmp_path: Path, turn_mode: str
) -> None:
    async with data_project(tmp_path, Cast(), turn_mode=turn_mode) as (workspace, project):
        plan = await planned(workspace, project, SETTINGS)
        await carried_out(workspace, project, plan.id)
        for run in data_set(await runs_in(workspace, project)):
            item = item_of(run)
            assert len(item.conversation) == 2 * len(run.user_turns) - 1
            assert item.turn == run.user_turns[-1]
            assert run.user_turns[0] in conversation_text(run)
            assert summary_of(run).text == "\n".join(run.user_turns)


async def test_the_plan_counts_no_fewer_calls_than_are_made(tmp_path: Path) -> None:
    writer = Cast()
    async with data_project(tmp_path, writer) as (workspace, project):
        plan = await planned(workspace, project, SETTINGS)
        step = await generate_data.propose(workspace, {"project": project, "plan": plan.id})
        assert step.plan.calls == plan.calls == 1 + 6 * 4 + 6 * 3
        assert "6 conversations of up to 4 turns" in step.plan.summary
        writer.requests.clear()
        await step.carry_out()
        assert len(writer.requests) == plan.calls - 4 * (2 + 1)


async def test_a_person_edits_what_a_user_wants_before_they_talk(tmp_path: Path) -> None:
    async with data_project(tmp_path, Cast()) as (workspace, project):
        plan = await planned(workspace, project, {**SETTINGS, "stop_after_inputs": True})
        plan = await planned(workspace, project, plan.id)
        assert [draft.goal for draft in plan.drafts] == [f"Goal {n}." for n in range(1, 7)]
        edit: JsonValue = {
            "id": plan.id,
            "texts": {"1": {"goal": "A refund in writing.", "input": "Hello?"}, "2": "Help!"},
            "drop": [3],
        }
        plan = await planned(workspace, project, edit)
        assert (plan.drafts[0].input, plan.drafts[0].goal) == ("Hello?", "A refund in writing.")
        await carried_out(workspace, project, plan.id)
        items = data_set(await runs_in(workspace, project))
        openings = {run.user_turns[0]: run.input_source for run in items}
        assert len(items) == 5
        source = openings["Hello?"]
        assert source is not None
        assert source.properties["goal"] == "A refund in writing."
        assert "Help!" in openings


async def test_all_turns_of_a_conversation_lie_in_one_part(tmp_path: Path) -> None:
    async with data_project(tmp_path, Cast(), turn_mode="multiturn") as (workspace, project):
        plan = await planned(workspace, project, {**SETTINGS, "count": 24})
        await carried_out(workspace, project, plan.id)
        await split_data(workspace, project, "s", keep_together="near_duplicates")
        runs = await runs_in(workspace, project)
        items = {run.id for run in data_set(runs)}
        tagged = {run.id for run in runs if any(tag.endswith("_s") for tag in run.tags)}
        assert tagged == items


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"inputs": ["one"]}, "object with input and goal"),
        ({"traces": 2}, "no imported traces"),
        ({"user_model": "embedded"}, "plays nobody"),
    ],
)
async def test_a_plan_that_cannot_have_conversations_says_why(
    tmp_path: Path, settings: dict[str, JsonValue], reason: str
) -> None:
    async with data_project(tmp_path, Cast()) as (workspace, project):
        with pytest.raises(Refusal, match=reason):
            await planned(workspace, project, {**SETTINGS, **settings})


async def test_a_conversation_whose_model_fails_is_left_out(tmp_path: Path) -> None:
    class Silent(Cast):
        def __call__(self, request: ModelRequest) -> str:
            text = json.dumps([message.content for message in request.messages])
            return "" if "turn 2 of person 6" in text else super().__call__(request)

    async with data_project(tmp_path, Silent()) as (workspace, project):
        plan = await planned(workspace, project, SETTINGS)
        made = await carried_out(workspace, project, plan.id)
        assert (made.items, made.failed) == (5, 1)
        assert "empty" in made.failures[0]


async def test_a_job_that_is_killed_at_its_end_neither_pays_nor_saves_again(
    tmp_path: Path,
) -> None:
    writer = Cast()
    async with data_project(tmp_path, writer, turn_mode="multiturn") as (workspace, project):
        plan = await planned(workspace, project, SETTINGS)
        attempt = replace(workspace, job="4711")
        first = await carried_out(attempt, project, plan.id)
        saved = {run.id for run in await runs_in(workspace, project)}
        writer.requests.clear()
        again = await carried_out(attempt, project, plan.id)
        assert (again.items, again.session, again.stops) == (6, first.session, first.stops)
        assert {run.id for run in await runs_in(workspace, project)} == saved
        assert writer.requests == []
