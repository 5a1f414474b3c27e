"""Versions of a judge that go wrong: answers of no use, refusals, and proposals that repeat."""

import json
import random
from collections.abc import Mapping

import pytest

from bench import Bench, BenchSetup
from judge_script import NO_DIGITS, NO_DOGS, add_names, judge_or_rewrite, names_setup, person
from kiln_mcp.judging import service
from kiln_mcp.judging.answers import AgreementReport, DisagreementReport
from kiln_mcp.judging.judge_versions import JudgeVersion
from kiln_mcp.judging.refinement.answers import JudgeImprovement
from kiln_mcp.judging.refinement.labelled_items import ItemVerdict, LabelledItem
from kiln_mcp.judging.refinement.proposals import ExampleChooser, JudgedItem, StrictnessStep
from kiln_mcp.judging.refinement.service import improve_judge
from kiln_mcp.llm import ModelRequest
from kiln_mcp.llm.errors import KeyProblem
from storage import TaskOutput, TaskRun
from storage.errors import Refusal

KINDS = {"right": "pass_fail"}


def answer(request: ModelRequest) -> str:
    """Judge or rewrite; names with special words make the model go wrong once dogs are named."""
    text = "\n".join(str(message.content) for message in request.messages)
    if "You mend the steps" in text:
        if "blank" in text:
            edit = {"operation": "replace", "block": "s1", "text": "  ", "reason": "dogs"}
            return json.dumps({"failure": "It lets dogs pass.", "edits": [edit]})
        if "garbage" in text:
            return "I would rather not."
    elif NO_DOGS in text and "mute" in text:
        return "I cannot say."
    elif NO_DOGS in text and "locked" in text:
        raise KeyProblem("The key of the model is refused.")
    return judge_or_rewrite(request)


@pytest.fixture
def bench_setup() -> BenchSetup:
    return names_setup(answer)


async def add_judge(bench: Bench, name: str = "llm judge", *, step: str = NO_DIGITS) -> None:
    new_eval = {"test_filter": "tag::eval_right"} if name == "llm judge" else {}
    await bench.evaluator(type="llm_judge", name=name, steps=[step], **new_eval)


async def improve(bench: Bench, *outputs: str) -> JudgeImprovement:
    """Label outputs as the person does, and improve a judge that lets dogs pass."""
    await add_judge(bench)
    runs = await add_names(bench, *outputs)
    await bench.label({run.id: person(run) for run in runs})
    report = await improve_judge.invoke(bench.workspace, bench.arguments())
    assert isinstance(report, JudgeImprovement)
    return report


async def test_a_verdict_that_cannot_be_used_counts_as_disagreement_and_is_told(
    bench: Bench,
) -> None:
    report = await improve(bench, "cat", "dog", "dog", "mute cat")
    assert report.versions[0].disagreements == 1
    assert any("1 verdicts of versions could not be used" in w for w in report.warnings)


async def test_a_model_that_refuses_every_request_ends_the_search_with_its_reason(
    bench: Bench,
) -> None:
    with pytest.raises(KeyProblem, match="The key of the model is refused"):
        await improve(bench, "cat", "dog", "locked cat", "locked dog")


@pytest.mark.parametrize("word", ["blank", "garbage"])
async def test_a_rewriting_that_cannot_be_used_leaves_the_judge_as_it_is(
    bench: Bench, word: str
) -> None:
    report = await improve(bench, "cat", f"{word} dog", "dog", "c4t")
    assert (report.winner, report.versions) == (None, [])


async def test_a_judge_without_a_development_label_has_nothing_to_learn_from(
    bench: Bench,
) -> None:
    await add_judge(bench)
    await add_names(bench, "cat")
    with pytest.raises(Refusal, match="label"):
        await improve_judge.invoke(bench.workspace, bench.arguments())


async def test_disagreements_without_any_verdict_are_not_called_agreement(bench: Bench) -> None:
    await add_judge(bench, step=NO_DOGS)
    (run,) = await add_names(bench, "mute cat")
    await bench.label({run.id: "pass"})
    call = bench.arguments(show="disagreements")
    report = await service.check_judge.invoke(bench.workspace, call)
    assert isinstance(report, DisagreementReport)
    assert report.summary == "No development label has a verdict of these judges yet."


async def test_a_judge_that_agrees_less_is_told_apart_from_two_that_agree_alike(
    bench: Bench,
) -> None:
    await add_judge(bench)
    await add_judge(bench, "Again")
    await add_judge(bench, "Lenient", step="Any name passes.")
    runs = await add_names(bench, *["cat", "c4t"] * 20)
    await bench.label({run.id: person(run) for run in runs})
    report: AgreementReport = await bench.measure()
    (comparison,) = report.comparisons
    assert set(comparison.may_be_best) == {"llm judge", "Again"}
    assert comparison.conclusion == (
        "Cannot tell which of 2 judges agrees most; the others agree less."
    )


async def test_one_label_shows_a_difference_of_judges_without_an_interval(bench: Bench) -> None:
    await add_judge(bench)
    await add_judge(bench, "Lenient", step="Any name passes.")
    (run,) = await add_names(bench, "c4t")
    await bench.label({run.id: "fail"})
    (comparison,) = (await bench.measure()).comparisons
    assert comparison.against_best == {"Lenient": "-100 points"}
    assert comparison.conclusion == "Cannot tell which of the 2 judges agrees most."


def judged(verdicts: Mapping[float, int], label: float) -> list[JudgedItem]:
    """Return items with one label and as many of each verdict as named."""
    return [
        JudgedItem(
            LabelledItem(
                TaskRun(input="a", output=TaskOutput(output="b")), {"right": label}, KINDS
            ),
            ItemVerdict({"right": verdict}),
        )
        for verdict, count in verdicts.items()
        for _ in range(count)
    ]


async def test_three_items_are_too_few_to_show_one_as_an_example() -> None:
    chooser = ExampleChooser(random.Random(0))
    best = JudgeVersion(("Step.",))
    assert await chooser.propose(best, judged({1.0: 3}, 0.0), []) is None
    assert await chooser.propose(best, judged({1.0: 4}, 0.0), []) is not None


async def test_examples_that_were_rejected_are_not_shown_again() -> None:
    items = judged({1.0: 4}, 0.0)
    best = JudgeVersion(("Step.",))
    proposal = await ExampleChooser(random.Random(0)).propose(best, items, [])
    assert proposal is not None
    again = await ExampleChooser(random.Random(0)).propose(best, items, [proposal.version])
    assert again is None


async def test_a_step_for_doubt_turns_with_the_side_to_which_the_judge_errs() -> None:
    best = JudgeVersion(("Step.",))
    lenient = await StrictnessStep().propose(best, judged({1.0: 3}, 0.0), [])
    strict = await StrictnessStep().propose(best, judged({0.0: 3}, 1.0), [])
    assert lenient is not None
    assert strict is not None
    assert (lenient.reason, strict.reason) == (
        "The judge is too lenient.",
        "The judge is too strict.",
    )
    assert await StrictnessStep().propose(best, judged({0.0: 3}, 1.0), [strict.version]) is None
