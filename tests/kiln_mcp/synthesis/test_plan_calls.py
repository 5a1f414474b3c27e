"""A plan counts the calls of each model exactly, whatever its inputs and outputs are made from."""

import json
from collections import Counter
from pathlib import Path

import pytest
from pydantic import JsonValue

from clause_judges import ClauseWorld, World
from data_writer import (
    MODEL,
    carried_out,
    data_project,
    new_text,
    planned,
    played_user,
    slots_in,
    users_for,
)
from kiln_mcp.llm import ModelRequest
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.workbench.workspace import Workspace
from storage import DataSource, Task, TaskOutput, TaskRun

GUIDE = "\n\n".join(f"Part {n}. " + "The ferry leaves at dawn. " * 50 for n in range(5))
OTHER_MODELS = ("other/user", "other/reference", "other/one", "other/two")
QUOTAS: list[JsonValue] = [
    {"clause": "c1", "aim": "pass", "count": 5},
    {"clause": "c2", "aim": "fail", "count": 6},
]
PAIRS: dict[str, JsonValue] = {"spec": "Polite", "pairs": True, "quotas": QUOTAS}
JUDGES: dict[str, JsonValue] = {"checkers": ["other/one", "other/two"]}
REFERENCES: dict[str, JsonValue] = {"outputs": "reference", "reference_model": "other/reference"}
TALKS: dict[str, JsonValue] = {"turns": 3, "user_model": "other/user"}
DOCUMENTS: dict[str, JsonValue] = {"documents": ["guide.md"]}
TRACES: dict[str, JsonValue] = {"traces": 4, "examples": ["Where?"]}
CASES: list[JsonValue] = [{"input": f"Hello {n}", "goal": f"Goal {n}."} for n in range(7)]
QUESTIONS: list[JsonValue] = [new_text("question", n) for n in range(7)]


class Obliging(ClauseWorld):
    """Does all that a plan wants at the first attempt, and never ends a conversation early."""

    def __init__(self) -> None:
        super().__init__(World(error=0.0, success=1.0, side_effect=0.0))

    def inputs(self, request: ModelRequest, number: int) -> list[dict[str, object]]:
        fields = json.dumps(dict(request.schema or {}))
        rows = users_for(request, number) if '"goal"' in fields else [
            {"slot": slot, "input": new_text(number, slot)} for slot in slots_in(request)
        ]  # fmt: skip
        beside = {"answer": "At dawn.", "quotation": "leaves at dawn"}
        own = {name: text for name, text in beside.items() if f'"{name}"' in fields}
        return [{**row, **own} for row in rows]

    def __call__(self, request: ModelRequest) -> str:
        schema = json.dumps(dict(request.schema or {}))
        if played_user(request) is not None:
            self.requests.append(request)
            return f"more about {len(self.requests)}"
        if '"same"' in schema:
            self.requests.append(request)
            return '{"reason": "I compared.", "same": true}'
        if '"personas"' in schema:
            self.requests.append(request)
            return '{"personas": ["a clerk", "a child"]}'
        return super().__call__(request)


def calls_by_model(writer: Obliging) -> dict[str, int]:
    """Return the calls since the last time, by model."""
    calls = Counter(request.model for request in writer.requests)
    writer.requests.clear()
    return dict(calls)


async def add_traces(workspace: Workspace, project: str) -> None:
    store = await workspace.open_project(project)
    (task,) = await store.children(store.project, Task)
    properties: dict[str, str | int | float] = {
        "model_name": "m", "model_provider": "p", "adapter_name": "import",
    }  # fmt: skip
    source = DataSource(type="synthetic", properties=properties)
    for number in range(6):
        run = TaskRun(
            input=new_text("trace", number), output=TaskOutput(output="We look.", source=source)
        )
        await store.save(run, parent=task)


@pytest.mark.parametrize(
    "settings",
    [
        {"personas": 2, "levels": 2, "width": 3, "count": 20},
        {**JUDGES, **PAIRS},
        {**REFERENCES},
        {**REFERENCES, **JUDGES, "spec": "Polite"},
        {**REFERENCES, **JUDGES, **PAIRS},
        {**REFERENCES, "labels": ["answer"]},
        DOCUMENTS,
        {**DOCUMENTS, **JUDGES, "spec": "Polite"},
        {**DOCUMENTS, "outputs": "task"},
        {**DOCUMENTS, **TALKS},
        {**DOCUMENTS, **TALKS, **REFERENCES, **JUDGES},
        TRACES,
        {**TRACES, **REFERENCES},
        {**TRACES, **JUDGES, **PAIRS},
        {**TRACES, **TALKS, **JUDGES, **PAIRS},
        TALKS,
        {**TALKS, **REFERENCES, **JUDGES, "spec": "Polite"},
        {**TALKS, **REFERENCES, **JUDGES, **PAIRS},
        {"inputs": CASES, **TALKS},
        {"inputs": CASES, **TALKS, **REFERENCES},
        {"inputs": QUESTIONS},
        {"inputs": QUESTIONS, **REFERENCES, **JUDGES, "spec": "Polite"},
    ],
    ids=lambda settings: " ".join(settings),
)
async def test_each_model_is_asked_as_often_as_the_plan_says(
    tmp_path: Path, settings: dict[str, JsonValue]
) -> None:
    (tmp_path / "guide.md").write_text(GUIDE)
    writer = Obliging()
    async with data_project(tmp_path, writer, models=OTHER_MODELS) as (workspace, project):
        await add_traces(workspace, project)
        wishes: JsonValue = {"count": 11, "topics": ["a", "b"], **settings}
        if "levels" in settings:
            del wishes["topics"]
        step = await planned_calls(workspace, project, wishes)
        plan = await planned(workspace, project, wishes)
        assert calls_by_model(writer) == step
        made = await carried_out(workspace, project, plan.id)
        assert calls_by_model(writer) == plan.calls_by_model
        assert sum(plan.calls_by_model.values()) == plan.calls
        assert (made.failed, made.rejected_inputs) == (0, 0)


async def planned_calls(workspace: Workspace, project: str, plan: JsonValue) -> dict[str, int]:
    """Return the calls that making a plan takes, which its proposal counts."""
    step = await generate_data.propose(workspace, {"project": project, "plan": plan})
    return {MODEL: step.plan.calls} if step.plan.calls else {}


@pytest.mark.parametrize("settings", [{}, DOCUMENTS, TRACES, TALKS, {**DOCUMENTS, **TALKS}])
@pytest.mark.parametrize("outputs", ["task", "reference"])
async def test_what_is_edited_and_made_again_is_counted_as_it_is_asked(
    tmp_path: Path, settings: dict[str, JsonValue], outputs: str
) -> None:
    (tmp_path / "guide.md").write_text(GUIDE)
    writer = Obliging()
    async with data_project(tmp_path, writer, models=OTHER_MODELS) as (workspace, project):
        await add_traces(workspace, project)
        wishes: JsonValue = {
            **settings, "count": 11, "topics": ["a", "b"], "outputs": outputs,
            "stop_after_inputs": True,
        }  # fmt: skip
        plan = await planned(workspace, project, wishes)
        writer.requests.clear()
        drafts = await planned(workspace, project, plan.id)
        assert calls_by_model(writer) == plan.calls_by_model
        edit: JsonValue = {"id": plan.id, "drop": [1], "texts": {"2": "Mine?"}}
        edited = await planned(workspace, project, {**edit, "rewrite": {"3": "shorter"}})
        assert edited.calls_by_model == {MODEL: 1}
        edited = await planned(workspace, project, plan.id)
        assert calls_by_model(writer) == {MODEL: 1}
        await carried_out(workspace, project, plan.id)
        assert calls_by_model(writer) == edited.calls_by_model
        again: JsonValue = {"id": plan.id, "redo": {"2": "kinder", "5": "shorter"}}
        redone = await planned(workspace, project, again)
        made = await carried_out(workspace, project, plan.id)
        assert calls_by_model(writer) == redone.calls_by_model
        assert (made.items, made.replaced_items, len(drafts.drafts)) == (2, 2, 11)


async def test_an_answer_of_a_passage_that_is_made_again_rests_on_it_and_is_compared(
    tmp_path: Path,
) -> None:
    (tmp_path / "guide.md").write_text(GUIDE)
    writer = Obliging()
    async with data_project(tmp_path, writer) as (workspace, project):
        plan = await planned(workspace, project, {**DOCUMENTS, "count": 3, "topics": ["a"]})
        await carried_out(workspace, project, plan.id)
        await planned(workspace, project, {"id": plan.id, "redo": {"1": "in a whole sentence"}})
        writer.requests.clear()
        made = await carried_out(workspace, project, plan.id)
        first, second, same = writer.requests
        for request in (first, second):
            assert "The ferry leaves at dawn." in request.messages[0].content
        assert "in a whole sentence" in first.messages[0].content
        assert '"same"' in json.dumps(dict(same.schema or {}))
        assert (made.verified_items, made.for_a_person) == (1, 0)
