"""A generated answer counts as right only if everything that can say something of it agrees."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from pydantic import JsonValue

from data_writer import DataWriter, data_project, new_text, runs_in, slots_in
from kiln_mcp.datasets.items import is_known_right
from kiln_mcp.evals.service import create_evaluator
from kiln_mcp.llm import ModelRequest
from kiln_mcp.synthesis.answers import DataPlanReport, GeneratedData
from kiln_mcp.synthesis.generation_service import generate_data
from kiln_mcp.synthesis.verified_references import says_label
from kiln_mcp.workbench.workspace import Workspace
from storage import TaskRun

CLASSES = ["billing", "delivery", "other"]
TICKETS = json.dumps(
    {
        "type": "object",
        "properties": {"category": {"enum": CLASSES}},
        "required": ["category"],
        "additionalProperties": False,
    }
)


class TicketWriter(DataWriter):
    """Writes tickets of the class that is planned, and answers with the class it reads."""

    def __init__(self, wrong_every: int = 0) -> None:
        super().__init__(self._category)
        self._wrong_every = wrong_every
        self._answers = 0

    def inputs(self, request: ModelRequest, number: int) -> list[dict[str, object]]:
        """Return a ticket for each slot, with the class in its words."""
        tickets: list[dict[str, object]] = []
        for slot, line in slots_in(request).items():
            label = re.search(r"right answer: (\w+)", line)
            word = label[1] if label else "other"
            tickets.append({"slot": slot, "input": f"{new_text(number, slot)} about {word}"})
        return tickets

    def _category(self, request: ModelRequest) -> str:
        self._answers += 1
        word = request.messages[-1].content.rpartition(" ")[2]
        is_wrong = self._wrong_every and self._answers % self._wrong_every == 0
        return json.dumps({"category": "other" if is_wrong else word})


async def made_references(
    workspace: Workspace, project: str, **settings: JsonValue
) -> tuple[DataPlanReport, GeneratedData, list[TaskRun]]:
    plan: dict[str, JsonValue] = {"topics": ["a", "b"], "outputs": "reference", **settings}
    report = await generate_data(workspace, project, plan=plan)
    assert isinstance(report, DataPlanReport)
    made = await generate_data(workspace, project, plan=report.id)
    assert isinstance(made, GeneratedData)
    return report, made, await runs_in(workspace, project)


def source_of(run: TaskRun) -> dict[str, str | int | float]:
    assert run.output.source is not None
    return run.output.source.properties


async def test_classes_are_balanced_and_verified_by_a_blind_answer(tmp_path: Path) -> None:
    async with data_project(tmp_path, TicketWriter(), output_schema=TICKETS) as opened:
        workspace, project = opened
        report, made, runs = await made_references(workspace, project, count=30)
        assert report.labels == CLASSES
        assert report.calls == 4 + 30
        assert (made.items, made.verified_items, made.for_a_person) == (30, 30, 0)
        outputs = Counter(json.loads(run.output.output)["category"] for run in runs)
        assert outputs == {"billing": 10, "delivery": 10, "other": 10}
        assert all(is_known_right(run) and "reference" in run.tags for run in runs)
        verification = json.loads(str(source_of(runs[0])["verification"]))
        assert verification["verdicts"] == {"class": True}


async def test_an_answer_of_another_class_is_for_a_person(tmp_path: Path) -> None:
    writer = TicketWriter(wrong_every=4)
    async with data_project(tmp_path, writer, output_schema=TICKETS) as (workspace, project):
        _, made, runs = await made_references(workspace, project, labels=[*CLASSES[:2]], count=20)
        assert (made.verified_items, made.for_a_person) == (15, 5)
        assert any("5: for a person: class" in row.why or row.why for row in made.by_outcome)
        assert [step.tool for step in made.next] == ["mark_runs", "split_data"]
        doubtful = [run for run in runs if "needs_person" in run.tags]
        assert len(doubtful) == 5
        assert not any(is_known_right(run) for run in doubtful)


class TextWriter(DataWriter):
    """Answers in words; some second answers say something else."""

    def __init__(self, disagree_every: int = 0) -> None:
        super().__init__(lambda request: f"The answer {request.sample}.")
        self._disagree_every = disagree_every
        self._comparisons = 0

    def __call__(self, request: ModelRequest) -> str:
        """Answer a request."""
        schema = json.dumps(dict(request.schema or {}))
        if '"same"' in schema:
            self.requests.append(request)
            self._comparisons += 1
            is_other = self._disagree_every and self._comparisons % self._disagree_every == 0
            return json.dumps({"reason": "I looked.", "same": not is_other})
        if '"verdicts"' in schema:
            self.requests.append(request)
            clauses = re.findall(r"^- (c\d+): ", request.messages[-1].content, re.MULTILINE)
            verdicts = [{"clause": c, "reason": "Fine.", "meets": True} for c in clauses]
            return json.dumps({"verdicts": verdicts})
        return super().__call__(request)


async def test_answers_in_words_are_compared_with_a_second_one_and_the_clauses(
    tmp_path: Path,
) -> None:
    writer = TextWriter(disagree_every=5)
    async with data_project(tmp_path, writer, models=("other/one",)) as (workspace, project):
        report, made, runs = await made_references(
            workspace, project, count=10, spec="Polite", checkers=["other/one"]
        )
        assert len(writer.requests) == report.calls == 2 + 10 + 10 * 2 + 10 * 3
        assert (made.verified_items, made.for_a_person) == (8, 2)
        assert made.outputs_by == "scripted"
        whys = [row.why for row in made.by_outcome if row.why]
        assert whys
        assert all("for a person: second answer" in why for why in whys)
        doubtful = next(run for run in runs if "needs_person" in run.tags)
        verification = json.loads(str(source_of(doubtful)["verification"]))
        assert verification["verdicts"] == {"second answer": False, "all clauses": True}
        assert verification["second_answer"] == "The answer 0."


async def test_an_answer_that_fails_a_check_of_the_task_is_for_a_person(tmp_path: Path) -> None:
    async with data_project(tmp_path, TextWriter()) as (workspace, project):
        await create_evaluator(
            workspace,
            project,
            eval="Form",
            type="contains",
            substring="Dear",
            name="Greets",
            test_filter="all",
        )
        _, made, _ = await made_references(workspace, project, count=3)
        assert (made.verified_items, made.for_a_person) == (0, 3)
        assert all("check Greets" in row.why for row in made.by_outcome if row.quota)


@pytest.mark.parametrize(
    ("output", "is_label"),
    [('{"category": "Billing"}', True), ("billing ", True), ('{"a": 1}', False), ("bill", False)],
)
def test_an_output_says_its_class_as_text_or_as_a_field(output: str, *, is_label: bool) -> None:
    assert says_label(output, "billing") is is_label
