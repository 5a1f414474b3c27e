"""The last answers of conversations are right or break one clause, and nothing is paid twice."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from clause_judges import ClauseWorld, World, broken_in
from data_writer import carried_out, data_project, planned, played_user, runs_in, users_for
from kiln_mcp.datasets.items import data_set, is_known_right
from kiln_mcp.datasets.lineage import REFERENCE_TAG
from kiln_mcp.evals.eval_items import conversation_text, item_of
from kiln_mcp.llm import ModelRequest
from kiln_mcp.synthesis.answers import DataPlanReport, GeneratedData
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.workbench.workspace import Workspace
from storage import TaskRun
from storage.errors import Refusal

MODES = ["multiturn", "single_turn"]
FAILING: list[JsonValue] = [{"clause": name, "aim": "fail", "count": 3} for name in ("c1", "c2")]


class Talk(ClauseWorld):
    """A world whose users talk for two turns, and whose second answers always agree."""

    def inputs(self, request: ModelRequest, number: int) -> list[dict[str, object]]:
        return users_for(request, number)

    def __call__(self, request: ModelRequest) -> str:
        if played_user(request) is not None:
            self.requests.append(request)
            return f"more about {request.messages[2].content}"
        if '"same"' in json.dumps(dict(request.schema or {})):
            self.requests.append(request)
            return '{"reason": "I compared.", "same": true}'
        return super().__call__(request)


async def generated(
    workspace: Workspace, project: str, **settings: JsonValue
) -> tuple[DataPlanReport, GeneratedData]:
    """Plan conversations of two turns and hold them."""
    plan: dict[str, JsonValue] = {"topics": ["a"], "turns": 2, **settings}
    report = await planned(workspace, project, plan)
    return report, await carried_out(workspace, project, report.id)


async def items_in(workspace: Workspace, project: str) -> list[TaskRun]:
    return data_set(await runs_in(workspace, project))


@pytest.mark.parametrize("turn_mode", MODES)
async def test_a_pair_of_conversations_differs_in_its_last_answer_alone(
    tmp_path: Path, turn_mode: str
) -> None:
    world = Talk(World(error=0.0, success=1.0, side_effect=0.0))
    async with data_project(tmp_path, world, turn_mode=turn_mode) as (workspace, project):
        report, made = await generated(
            workspace, project, spec="Polite", pairs=True, quotas=FAILING
        )
        assert (made.items, made.failed, made.stops) == (6, 0, {"turns": 6})
        assert len(world.requests) == report.calls
        items = await items_in(workspace, project)
        assert len(items) == 6
        for run in items:
            source = run.output.source
            assert source is not None
            assert "minimal_pair" in run.tags
            assert broken_in(run.output.output) == {source.properties["broken_clause"]}
            assert run.trace is not None
            assert str(run.trace[-1].content) == run.output.output
            assert len(run.user_turns) == 2
            assert len(item_of(run).conversation) == 3
            assert run.user_turns[0] in conversation_text(run)
            assert not is_known_right(run)
    verdicts = [r for r in world.requests if '"verdicts"' in json.dumps(dict(r.schema or {}))]
    assert all("more about" in request.messages[-1].content for request in verdicts)


@pytest.mark.parametrize("turn_mode", MODES)
async def test_a_reference_is_the_right_last_answer_after_the_turns_before(
    tmp_path: Path, turn_mode: str
) -> None:
    world = Talk(World(error=0.0))
    async with data_project(tmp_path, world, turn_mode=turn_mode) as (workspace, project):
        report, made = await generated(workspace, project, outputs="reference", count=3)
        assert (made.items, made.verified_items, made.for_a_person) == (3, 3, 0)
        assert len(world.requests) == report.calls
        for run in await items_in(workspace, project):
            assert is_known_right(run)
            assert REFERENCE_TAG in run.tags
            item = item_of(run)
            assert item.reference is not None
            assert (len(item.conversation), item.turn) == (3, run.user_turns[-1])
        asked = [r for r in world.requests if len(r.messages) == 4 and not r.schema]
        references = [r for r in asked if "Answer the customer." in r.messages[0].content]
        assert {r.messages[-1].content[:10] for r in references} == {"more about"}


async def test_conversations_are_held_with_users_whom_the_caller_gives(tmp_path: Path) -> None:
    cases: list[JsonValue] = [
        {"input": "Hello", "goal": "A refund.", "persona": "A clerk."},
        {"input": "Hello", "goal": "A new bill.", "gives_up": "After one no."},
        {"input": "Hello", "goal": "A refund.", "persona": "A clerk."},
    ]
    async with data_project(tmp_path, Talk(World()), turn_mode="multiturn") as opened:
        report, made = await generated(*opened, inputs=cases)
        assert report.calls == 3 * (2 + 1)
        assert (made.items, made.rejected_inputs) == (2, 1)
        sources = [run.input_source for run in await items_in(*opened)]
        assert sorted(str(own.properties["goal"]) for own in sources if own) == [
            "A new bill.",
            "A refund.",
        ]


@pytest.mark.parametrize("case", ["Hello", {"input": "Hello"}, {"goal": "A refund."}, 7])
async def test_a_case_without_a_first_message_or_a_goal_is_refused(
    tmp_path: Path, case: JsonValue
) -> None:
    async with data_project(tmp_path, Talk(World())) as (workspace, project):
        with pytest.raises(Refusal, match="object with input and goal"):
            await generated(workspace, project, inputs=[case])


class Mortal(Talk):
    """A world in which the work ends while one call is in flight."""

    def __init__(self) -> None:
        super().__init__(World(error=0.0))
        self.calls_left = 0
        self.scope = anyio.CancelScope()

    def __call__(self, request: ModelRequest) -> str:
        self.calls_left -= 1
        if self.calls_left == 0:
            self.scope.cancel()
        return super().__call__(request)


@pytest.mark.parametrize("last_call", [2, 5, 8, 11, 14])
async def test_a_kill_in_mid_conversation_loses_nothing_paid_and_pays_nothing_twice(
    tmp_path: Path, last_call: int
) -> None:
    world = Mortal()
    async with data_project(tmp_path, world, turn_mode="multiturn") as (workspace, project):
        plan: dict[str, JsonValue] = {"topics": ["a"], "turns": 2, "count": 4}
        plan["outputs"] = "reference"
        report = await planned(workspace, project, plan)
        job = replace(workspace, job="4711")
        world.calls_left = last_call
        with world.scope:
            await generate_data(job, project, plan=report.id)
        assert world.scope.cancelled_caught
        assert await items_in(workspace, project) == []
        paid = len(world.requests)
        made = await carried_out(job, project, report.id)
        assert (made.items, made.verified_items) == (4, 4)
        counts = Counter(map(str, world.requests))
        assert paid >= last_call
        # What was in flight at the end may have been answered to nobody.
        in_flight = {str(request) for request in world.requests[last_call - 1 : paid]}
        assert {text for text, count in counts.items() if count > 1} <= in_flight
        assert len(counts) == report.calls
