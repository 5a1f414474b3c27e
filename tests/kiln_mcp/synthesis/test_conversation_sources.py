"""Conversations rest on passages of documents, on traces of real users, or on cases of a file."""

import json
import re
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
from kiln_mcp.datasets.items import data_set, is_known_right
from kiln_mcp.llm import ModelRequest
from storage import DataSource, Task, TaskOutput, TaskRun
from storage.errors import Refusal

GUIDE = "\n\n".join(
    f"Chapter {number}. The red lever number {number} opens gate {number} of the old canal. "
    + "It is oiled each spring by the keeper of the lock, who lives beside the water. " * 14
    for number in range(1, 7)
)


class Talkers(DataWriter):
    """Invents users whose goals rest on their material, plays them, and answers them."""

    def inputs(self, request: ModelRequest, number: int) -> list[dict[str, object]]:
        text = request.messages[-1].content
        rows = users_for(request, number)
        levers = dict(re.findall(r"^(\d+)\..*\n   material: .*?lever number (\d+)", text, re.M))
        for row in rows if levers else []:
            is_made_up = row["slot"] == 2 and number == 1
            words = f"red lever number {levers[str(row['slot'])]}"
            row["quotation"] = "never said" if is_made_up else words
        return rows

    def __call__(self, request: ModelRequest) -> str:
        if played_user(request) is not None:
            self.requests.append(request)
            return f"more, please, as person {played_user(request)}"
        if '"same"' in json.dumps(dict(request.schema or {})):
            self.requests.append(request)
            return '{"reason": "I compared.", "same": true}'
        return super().__call__(request)


@pytest.mark.parametrize("turn_mode", ["multiturn", "single_turn"])
async def test_the_goal_of_a_user_rests_on_words_of_a_passage_that_the_item_keeps(
    tmp_path: Path, turn_mode: str
) -> None:
    (tmp_path / "guide.md").write_text(GUIDE)
    writer = Talkers()
    async with data_project(tmp_path, writer, turn_mode=turn_mode) as (workspace, project):
        settings: JsonValue = {
            "count": 6,
            "topics": ["a"],
            "documents": ["guide.md"],
            "turns": 2,
        }
        plan = await planned(workspace, project, settings)
        assert plan.settings["outputs"] == "task"
        assert plan.calls == 1 + 6 * (2 + 1)
        made = await carried_out(workspace, project, plan.id)
        assert made.reject_reasons == {"its words are not in the passage": 1}
        assert (made.items, made.stops) == (6, {"turns": 6})
        for run in data_set(await runs_in(workspace, project)):
            assert run.input_source is not None
            properties = run.input_source.properties
            assert properties["document"] == "guide.md"
            assert str(properties["quotation"]) in GUIDE
            assert str(properties["goal"]).startswith("Goal ")
            assert len(run.user_turns) == 2
            assert not is_known_right(run)


async def test_the_right_last_answer_is_written_and_checked_by_the_passage(
    tmp_path: Path,
) -> None:
    (tmp_path / "guide.md").write_text(GUIDE)
    writer = Talkers()
    async with data_project(tmp_path, writer, turn_mode="multiturn") as (workspace, project):
        plan = await planned(
            workspace,
            project,
            {"count": 6, "topics": ["a"], "documents": ["guide.md"], "turns": 2, "seed": 1,
             "outputs": "reference"},
        )  # fmt: skip
        writer.count = 1  # every quotation is right
        writer.requests.clear()
        made = await carried_out(workspace, project, plan.id)
        assert (made.items, made.verified_items) == (6, 6)
        assert len(writer.requests) == plan.calls == 1 + 6 * (2 + 1) + 6 * (1 + 2)
        on_passages = [r for r in writer.requests if "rests on this passage" in _system(r)]
        assert len(on_passages) == 6 * 2
        for run in data_set(await runs_in(workspace, project)):
            assert is_known_right(run)
            assert run.input_source is not None
            words = str(run.input_source.properties["quotation"])
            last = [r for r in on_passages if r.messages[-1].content == run.user_turns[-1]]
            assert any(f"{words} opens" in _system(request) for request in last)
            source = run.output.source
            assert source is not None
            verdicts = json.loads(str(source.properties["verification"]))["verdicts"]
            assert verdicts == {"second answer": True}


async def test_users_are_made_from_traces_without_personal_details(tmp_path: Path) -> None:
    writer = Talkers()
    async with data_project(tmp_path, writer) as (workspace, project):
        store = await workspace.open_project(project)
        (task,) = await store.children(store.project, Task)
        source = DataSource(
            type="synthetic",
            properties={"model_name": "m", "model_provider": "p", "adapter_name": "import"},
        )
        text = "user: My name is John Smith, where is order 8837261?\n\nassistant: Lost."
        await store.save(
            TaskRun(input=text, output=TaskOutput(output="Sorry.", source=source)), parent=task
        )
        settings: JsonValue = {
            "count": 2, "topics": ["a"], "traces": 1, "turns": 3, "examples": ["Where?"],
        }  # fmt: skip
        plan = await planned(workspace, project, settings)
        assert plan.calls == 1 + 2 * (3 + 2)
        made = await carried_out(workspace, project, plan.id)
        assert (made.items, made.failed) == (2, 0)
        (request,) = writer.list_requests("inputs")
        assert "old conversation: user: My name is [name 1], where is order [number 1]?" in (
            request.messages[-1].content
        )
        sent = json.dumps([message.content for r in writer.requests for message in r.messages])
        assert "Smith" not in sent
        assert "8837261" not in sent
        items = [run for run in data_set(await runs_in(workspace, project)) if run.is_simulated]
        origins = [run.input_source.properties["seed_example"] for run in items if run.input_source]
        assert len(origins) == 2


CASES = """input,goal,persona,gives_up,note
Hello,A refund.,A clerk.,,x
"Hi, you",A new bill.,,After one no.,y
"""


@pytest.mark.parametrize("name", ["cases.csv", "cases.jsonl"])
async def test_users_of_a_file_talk_as_it_says(tmp_path: Path, name: str) -> None:
    text = CASES
    if name.endswith("jsonl"):
        text = (
            '{"input": "Hello", "goal": "A refund.", "persona": "A clerk.", "note": 4}\n'
            '{"input": "Hi, you", "goal": "A new bill.", "gives_up": "After one no."}\n'
        )
    (tmp_path / name).write_text(text)
    writer = DataWriter(lambda request: f"said after {len(request.messages)} messages")
    async with data_project(tmp_path, writer, turn_mode="multiturn") as (workspace, project):
        plan = await planned(workspace, project, {"inputs_file": name, "turns": 2})
        assert (plan.count, plan.calls) == (2, 2 * (2 + 1))
        made = await carried_out(workspace, project, plan.id)
        assert (made.items, made.inputs_by) == (2, "you")
        items = {run.user_turns[0]: run for run in data_set(await runs_in(workspace, project))}
        source = items["Hi, you"].input_source
        assert source is not None
        assert source.properties["goal"] == "A new bill."
        assert source.properties["gives_up"] == "After one no."
        assert "note" not in source.properties


async def test_questions_of_a_file_are_answered(tmp_path: Path) -> None:
    (tmp_path / "questions.csv").write_text("input,goal\nWhere is it?,\n,\nWhen?,ignored\n")
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        plan = await planned(workspace, project, {"inputs_file": "questions.csv"})
        made = await carried_out(workspace, project, plan.id)
        assert made.items == 2
        inputs = {run.input for run in await runs_in(workspace, project)}
        assert inputs == {"Where is it?", "When?"}


async def test_rows_of_a_file_are_the_objects_that_a_schema_wants(tmp_path: Path) -> None:
    (tmp_path / "trips.jsonl").write_text('{"city": "Oslo", "days": 3}\n{"city": "Porto"}\n')
    schema = json.dumps({"type": "object", "properties": {"city": {"type": "string"}}})
    async with data_project(tmp_path, DataWriter(), input_schema=schema) as (workspace, project):
        plan = await planned(workspace, project, {"inputs_file": "trips.jsonl"})
        await carried_out(workspace, project, plan.id)
        inputs = sorted(run.input for run in await runs_in(workspace, project))
        assert [json.loads(text)["city"] for text in inputs] == ["Oslo", "Porto"]


@pytest.mark.parametrize(
    ("name", "content", "settings", "reason"),
    [
        ("none.csv", None, {}, "cannot be used"),
        ("a.pdf", b"%PDF", {}, "ending of no table"),
        ("empty.csv", b"", {}, "."),
        ("other.csv", b"question\nWhere?\n", {}, "has no inputs"),
        ("broken.jsonl", b'{"input": "a"}\n{"input":\n', {}, "line 2"),
        ("cases.csv", b"input\nHello\n", {"turns": 2}, "object with input and goal"),
        ("many.csv", b"input\n" + b"x\n" * 1001, {}, "more than 1,?000 inputs"),
        ("both.csv", b"input\nHello\n", {"inputs": ["Hi"]}, "not both"),
        ("bytes.csv", b"input\n\xff\xfe\x00\xd8\n", {}, "."),
    ],
)
async def test_a_file_of_inputs_that_cannot_be_used_says_why(
    tmp_path: Path,
    name: str,
    content: bytes | None,
    settings: dict[str, JsonValue],
    reason: str,
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    async with data_project(tmp_path, DataWriter()) as (workspace, project):
        with pytest.raises(Refusal, match=reason):
            await planned(workspace, project, {"inputs_file": name, **settings})


def _system(request: ModelRequest) -> str:
    return request.messages[0].content
