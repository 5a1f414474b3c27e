import json
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import JsonValue

from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evaluators.clause_verdicts import CLAUSE_VERDICTS
from kiln_mcp.llm import EMBEDDED, HOST, Engine, EngineSettings, ModelAnswer, ModelRequest
from kiln_mcp.settings import Settings
from kiln_mcp.spec_texts.spec_content import Clause, Origin, Polarity
from kiln_mcp.specs.clause_panel import ClausePanel, PanelRequest, propose_panel
from kiln_mcp.specs.clause_questions import FAILS, PASSES, clause_question, question_id
from kiln_mcp.specs.model_calls import SpecWriter
from kiln_mcp.specs.panel_outputs import PanelOutput, choose_different
from kiln_mcp.specs.panel_readings import limits_of, make_readings, plan_readings
from kiln_mcp.specs.panel_storage import panel_matrix, read_panel, store_panel
from kiln_mcp.statistics.clause_ambiguity import AmbiguityDecision
from kiln_mcp.statistics.question_value import QuestionValue
from kiln_mcp.workbench.workspace import KnownProjects, Workspace
from scripted_model import ScriptedModel
from storage import (
    DataSource,
    Eval,
    EvalOutputScore,
    Project,
    ProjectStore,
    Task,
    TaskOutput,
    TaskRun,
)
from storage.errors import Refusal

SHORT = Clause("c1", "The reply is short.", Polarity.MUST, Origin("person"))
REFUND = Clause("c2", "The reply promises a refund.", Polarity.MUST_NOT, Origin("person"))
CLAUSES = (SHORT, REFUND)
RUNS = 24
_BLOCK = re.compile(r"Output (\d+)\nInput: .*?\nOutput: reply (\d+)", re.DOTALL)


def review(request: ModelRequest) -> str:
    """Answer as a model to whom "short" means what the manner of reading makes of it."""
    system, user = (message.content for message in request.messages[:2])
    if "rewordings" in user:
        texts = [f"wording {n}" for n in (1, 2)]
        return json.dumps({"rewordings": [{"clause": c.id, "texts": texts} for c in CLAUSES]})
    is_strict = "evidently for" in system
    verdicts: list[JsonValue] = []
    for number, words in _BLOCK.findall(user):
        is_long = int(words) % 3 == 0
        verdicts.append(verdict(number, "c1", passes=not (is_strict and is_long)))
        verdicts.append(verdict(number, "c2", passes=int(words) % 2 == 0))
    return json.dumps({"verdicts": verdicts})


def verdict(number: str, clause: str, *, passes: bool) -> JsonValue:
    reason = "under fifty words" if passes else "a long reply"
    word = "pass" if passes else "fail"
    return {"output": int(number), "clause": clause, "verdict": word, "reason": reason}


class House:
    """A project with a task, its stored outputs, and a panel's models."""

    def __init__(self, workspace: Workspace, store: ProjectStore, task: Task) -> None:
        self.workspace = workspace
        self.store = store
        self.task = task

    async def panel(
        self,
        request: PanelRequest = PanelRequest(models=["scripted"]),  # noqa: B008 (frozen)
        clauses: Sequence[Clause] = CLAUSES,
    ) -> ClausePanel:
        proposal = await propose_panel(self.workspace, self.store, self.task, clauses, request)
        return await proposal.carry_out()


@asynccontextmanager
async def house(tmp_path: Path, model: ScriptedModel, runs: int = RUNS) -> AsyncGenerator[House]:
    settings = Settings(home=tmp_path / "home", engine=EngineSettings())
    project = Project(name="Support")
    async with (
        await ProjectStore.create(tmp_path / "p", project) as store,
        Engine(settings.engine, {"scripted": model, "second": model}) as engine,
    ):
        task = await store.save(Task(name="Reply", instruction="Answer."), parent=store.project)
        source = DataSource(
            type="synthetic",
            properties={
                "model_name": "m", "model_provider": "p", "adapter_name": "a", "prompt_id": "x",
            },
        )  # fmt: skip
        for n in range(runs):
            output = TaskOutput(output=f"reply {n}", source=source)
            await store.save(TaskRun(input=f"question {n}", output=output), parent=task)
        known = KnownProjects(settings.home / "projects.json")
        yield House(Workspace(settings=settings, engine=engine, projects=known), store, task)
        await known.close()


async def test_the_clause_that_readings_split_on_is_found_with_its_outputs(tmp_path: Path) -> None:
    async with house(tmp_path, ScriptedModel(review)) as own:
        panel = await own.panel()
        worst = panel.ambiguities[0]
        assert worst.clause == "c1"
        assert worst.decision is AmbiguityDecision.AMBIGUOUS
        assert panel.ambiguous_clauses == ["c1"]
        texts = {panel.output(item).output for item in worst.splits}
        assert texts == {f"reply {n}" for n in range(0, RUNS, 3)}
        assert panel.failures == []
        assert panel.total == RUNS


async def test_the_plan_counts_every_call_and_nothing_is_asked_before_it(tmp_path: Path) -> None:
    model = ScriptedModel(review)
    async with house(tmp_path, model) as own:
        request = PanelRequest(models=["scripted", "second"], most_outputs=10, repeats=3)
        proposal = await propose_panel(own.workspace, own.store, own.task, CLAUSES, request)
        assert model.requests == []
        panel = await proposal.carry_out()
        assert len(model.requests) == proposal.plan.calls == 1 + 10 * 6 * 3
        assert panel.models == ["scripted", "second"]
        assert "10 of 24 outputs" in panel.statement
        assert "habits" not in panel.statement


async def test_a_second_panel_is_paid_for_by_the_response_cache(tmp_path: Path) -> None:
    model = ScriptedModel(review)
    async with house(tmp_path, model) as own:
        first = await own.panel()
        count = len(model.requests)
        assert (await own.panel()).verdicts == first.verdicts
        assert len(model.requests) == count


async def test_an_answer_without_use_is_a_failure_and_no_verdict(tmp_path: Path) -> None:
    def forgetful(request: ModelRequest) -> str | ModelAnswer:
        text = request.messages[1].content
        if "rewordings" in text:
            return ModelAnswer(text="", finish="refused")
        if "reply 2\n</" in text:
            return ModelAnswer(text="I would rather not.", finish="refused")
        return review(request)

    async with house(tmp_path, ScriptedModel(forgetful)) as own:
        panel = await own.panel()
        assert any("own words alone" in failure for failure in panel.failures)
        refused = next(output.item for output in panel.outputs if output.output == "reply 2")
        assert all(cell.item != refused for cell in panel.verdicts)
        assert any("times)" in failure for failure in panel.failures)


async def test_an_answer_that_leaves_outputs_out_says_how_many(tmp_path: Path) -> None:
    def short_answer(request: ModelRequest) -> str:
        answer = json.loads(review(request))
        if "verdicts" in answer:
            entries = answer["verdicts"]
            wrong = {**entries[0], "clause": "c9"}
            return json.dumps({"verdicts": [entries[0], wrong]})
        return json.dumps(answer)

    async with house(tmp_path, ScriptedModel(short_answer), runs=6) as own:
        panel = await own.panel()
        assert {cell.clause for cell in panel.verdicts} == {"c1"}
        assert any("1 verdicts are missing" in failure for failure in panel.failures)


async def test_many_kinds_of_failures_are_counted(tmp_path: Path) -> None:
    def failing(request: ModelRequest) -> str:
        answer = json.loads(review(request))
        if "verdicts" in answer:
            number = int(_BLOCK.findall(request.messages[1].content)[0][1])
            answer["verdicts"] = answer["verdicts"] * 1 if number == 0 else []
        return json.dumps(answer)

    async with house(tmp_path, ScriptedModel(failing), runs=6) as own:
        panel = await own.panel(PanelRequest(models=["scripted", "second"], repeats=1))
        assert panel.failures[-1].endswith("other failures.")


async def test_an_abstention_is_no_verdict_and_is_counted(tmp_path: Path) -> None:
    def unsure(request: ModelRequest) -> str:
        return review(request).replace('"clause": "c2", "verdict": "fail"', ABSTAINS)

    async with house(tmp_path, ScriptedModel(unsure)) as own:
        panel = await own.panel()
        assert panel.abstentions == {"c2": 12 * 4 * 2}
        assert all(all(own) for cell, own in panel.verdicts.items() if cell.clause == "c2")


ABSTAINS = '"clause": "c2", "verdict": "cannot_tell"'


async def test_a_panel_without_any_verdict_is_refused_with_the_reason(tmp_path: Path) -> None:
    def silent(request: ModelRequest) -> str:
        return re.sub('"(pass|fail)"', '"cannot_tell"', review(request))

    async with house(tmp_path, ScriptedModel(silent)) as own:
        with pytest.raises(Refusal, match="no output shows it"):
            await own.panel()


async def test_a_task_without_outputs_or_a_spec_without_clauses_has_no_panel(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, ScriptedModel(review), runs=0) as own:
        with pytest.raises(NothingToEvaluate, match="No model has made"):
            await own.panel()
        with pytest.raises(NothingToEvaluate, match="without clauses"):
            await own.panel(clauses=())


async def test_outputs_that_an_eval_measures_on_are_not_judged(tmp_path: Path) -> None:
    async with house(tmp_path, ScriptedModel(review), runs=4) as own:
        score = EvalOutputScore(name="Short", type="pass_fail")
        record = Eval(name="Short", eval_set_filter_id="tag::test", output_scores=(score,))
        await own.store.save(record, parent=own.task)
        runs = await own.store.children(own.task, TaskRun)
        await own.store.save(runs[0].replace(tags=("test",)))
        panel = await own.panel()
        assert {output.item for output in panel.outputs} == {run.id for run in runs[1:]}
        for run in runs[1:]:
            await own.store.save(run.replace(tags=("test",)))
        with pytest.raises(NothingToEvaluate, match="held out"):
            await own.panel()


async def test_a_stored_panel_is_read_again_less_what_has_changed(tmp_path: Path) -> None:
    async with house(tmp_path, ScriptedModel(review)) as own:
        assert await read_panel(own.store, own.task, CLAUSES) is None
        panel = await own.panel()
        await store_panel(own.store, own.task, panel)
        await store_panel(own.store, own.task, panel)
        lines = await own.store.side_lines(own.task, CLAUSE_VERDICTS)
        assert len(lines) == 4 + RUNS * 4
        stored = await read_panel(own.store, own.task, CLAUSES)
        assert stored is not None
        assert stored.verdicts == panel.verdicts
        assert stored.reasons == panel.reasons
        assert stored.ambiguous_clauses == panel.ambiguous_clauses
        changed = Clause("c1", "The reply has 50 words at most.", Polarity.MUST, Origin("person"))
        rest = await read_panel(own.store, own.task, (changed, REFUND))
        assert rest is not None
        assert {cell.clause for cell in rest.verdicts} == {"c2"}
        assert await read_panel(own.store, own.task, (changed,)) is None


async def test_verdicts_of_a_changed_output_and_damaged_lines_are_left_out(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, ScriptedModel(review)) as own:
        panel = await own.panel()
        await store_panel(own.store, own.task, panel)
        async with own.store.transaction() as change:
            change.append_lines(own.task, CLAUSE_VERDICTS, ['{"kind": "other"}', "no JSON"])
        (run, *_) = await own.store.children(own.task, TaskRun)
        output = run.output.replace(output="another reply")
        await own.store.save(run.replace(output=output))
        stored = await read_panel(own.store, own.task, CLAUSES)
        assert stored is not None
        assert len(stored.outputs) == RUNS - 1
        assert run.id not in {cell.item for cell in stored.verdicts}


async def test_a_panel_is_a_verdict_matrix_of_readings_and_clauses(tmp_path: Path) -> None:
    async with house(tmp_path, ScriptedModel(review)) as own:
        panel = await own.panel()
        matrix = panel_matrix(panel)
        assert len(matrix.members) == 4 * 2
        first = matrix.members[0]
        assert matrix.column(first, "c2")[panel.outputs[0].item] in {0.0, 1.0}
        assert len(matrix.column(first, "c1")) == RUNS


async def best_question(panel: ClausePanel) -> QuestionValue:
    value = panel.beliefs().best_question(panel.ambiguous_clauses)
    assert value is not None
    return value


async def test_a_question_shows_the_output_that_splits_and_options_with_their_clauses(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, ScriptedModel(review)) as own:
        panel = await own.panel()
        value = await best_question(panel)
        question = await clause_question(None, panel, value)
        assert question.clause == "c1"
        assert int(question.output.split()[1]) % 3 == 0
        assert question.value is not None
        assert question.value > 0
        assert question.options[PASSES].clause.startswith("The reply is short. This passes:")
        assert question.options[FAILS].clause.endswith("(a long reply).")
        assert question.id == question_id(panel, value)


WRITTEN: dict[str, str] = {
    "question": "Is this reply short enough?",
    "passes": "Yes",
    "passes_clause": "The reply has 80 words at most.",
    "fails": "No",
    "fails_clause": "The reply has 30 words at most.",
}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (WRITTEN, "Is this reply short enough?"),
        ({**WRITTEN, "fails": " "}, "Does this output meet"),
        ({**WRITTEN, "fails_clause": WRITTEN["passes_clause"]}, "Does this output meet"),
        (None, "Does this output meet"),
    ],
)
async def test_a_model_writes_the_question_unless_its_answer_is_of_no_use(
    tmp_path: Path, answer: dict[str, str] | None, text: str
) -> None:
    def write(request: ModelRequest) -> str | ModelAnswer:
        if "passes_clause" not in request.messages[1].content:
            return review(request)
        return json.dumps(answer) if answer else ModelAnswer(text="No.", finish="refused")

    async with house(tmp_path, ScriptedModel(write)) as own:
        panel = await own.panel()
        writer = SpecWriter(own.workspace.engine, "scripted", "Answer.")
        question = await clause_question(writer, panel, await best_question(panel))
        assert question.text.startswith(text)
        assert question.options[PASSES].clause != question.options[FAILS].clause


def test_a_small_model_and_the_host_are_asked_less() -> None:
    assert limits_of([EMBEDDED]).outputs == 12
    assert limits_of([HOST]).outputs_a_call == 6
    assert limits_of(["gpt", EMBEDDED]).outputs == 12
    assert limits_of(["gpt"]).outputs == 48


def test_a_panel_of_one_model_says_what_it_cannot_tell() -> None:
    readings = make_readings([EMBEDDED, HOST], CLAUSES, {})
    both = ClausePanel(CLAUSES, readings, (), {})
    assert "small" in both.statement
    assert "copy itself" in both.statement
    assert both.ambiguities == []
    alone = ClausePanel(CLAUSES, make_readings([EMBEDDED], CLAUSES, {}), (), {})
    assert "habits" in alone.statement


def test_readings_are_limited_and_one_without_other_words_has_its_own() -> None:
    assert len(plan_readings([f"m{n}" for n in range(9)])) == 8
    readings = make_readings(["m"], CLAUSES, {"c1": ["Brief."]})
    assert [reading.texts["c1"] for reading in readings] == [
        SHORT.text, "Brief.", SHORT.text, "Brief.",
    ]  # fmt: skip
    assert {reading.texts["c2"] for reading in readings} == {REFUND.text}
    assert readings[1].title == "m, literal, wording 2"
    with pytest.raises(ValueError, match="at least one model"):
        plan_readings([])


def test_different_outputs_are_chosen_before_alike_ones() -> None:
    alike = [PanelOutput(f"a{n}", "", f"thank you for your order number {n}") for n in range(60)]
    odd = [PanelOutput("z", "", "Bitte senden Sie uns den Beleg.")]
    for seed in range(5):
        chosen = choose_different([*alike, *odd], 6, seed)
        assert len(chosen) == 6
        assert odd[0] in chosen
    assert choose_different(odd, 6, 0) == odd
