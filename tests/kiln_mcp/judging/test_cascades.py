"""Cascades of judges: when they are advised, and what they ask."""

import json

import pytest

from bench import Agrees, Bench, BenchSetup
from kiln_mcp.evaluators.verdict_matrix import PanelMember, VerdictMatrix
from kiln_mcp.judging.cascades import PricedJudge, best_cascade
from kiln_mcp.llm import ModelRequest
from storage import Eval, EvalConfig, EvalRun, Task, TaskOutput, TaskRun
from storage.errors import Refusal, WorkbenchError

KINDS = {"right": "pass_fail"}
CHEAP, OTHER, GOOD = (PanelMember(name, name) for name in ("cheap", "other", "good"))
LABELS = {"right": {str(n): float(n % 2) for n in range(200)}}


def columns(*wrong: range) -> VerdictMatrix:
    """Return the verdicts of the three judges, each wrong on some items."""
    members = (CHEAP, OTHER, GOOD)
    truth = LABELS["right"]
    return VerdictMatrix(
        members,
        {
            (member, "right"): {
                item: 1 - value if int(item) in errors else value for item, value in truth.items()
            }
            for member, errors in zip(members, wrong, strict=True)
        },
        {},
    )


def priced(cheap: float, other: float, good: float) -> list[PricedJudge]:
    prices = zip((CHEAP, OTHER, GOOD), (cheap, other, good), strict=True)
    return [PricedJudge(member, price) for member, price in prices]


def test_two_cheap_judges_that_err_on_other_items_make_a_cascade_that_pays() -> None:
    matrix = columns(range(30), range(30, 60), range(60, 64))
    advice = best_cascade(matrix, priced(1, 1, 20), LABELS, KINDS, "E")
    assert advice is not None
    assert "asks good about 30% of outputs and costs 60% less" in advice.sentence
    assert (advice.step.arguments or {})["settings"] == {"judges": ["cheap", "other", "good"]}


def test_a_cascade_that_agrees_less_or_saves_little_is_not_advised() -> None:
    same_errors = columns(range(60), range(60), range(60, 64))
    assert best_cascade(same_errors, priced(1, 1, 20), LABELS, KINDS, "E") is None
    others = columns(range(30), range(30, 60), range(60, 64))
    assert best_cascade(others, priced(10, 10, 20), LABELS, KINDS, "E") is None


def test_few_labels_advise_no_cascade() -> None:
    few = {"right": {item: value for item, value in LABELS["right"].items() if int(item) < 29}}
    matrix = columns(range(0), range(0), range(0))
    assert best_cascade(matrix, priced(1, 1, 20), few, KINDS, "E") is None


@pytest.mark.parametrize("first_of_other", [100, 90], ids=["no common item", "ten common items"])
def test_cheap_judges_with_verdicts_on_few_common_outputs_make_no_cascade(
    first_of_other: int,
) -> None:
    whole = columns(range(30), range(170, 200), range(60, 64))
    ranges = {CHEAP: range(100), OTHER: range(first_of_other, 200), GOOD: range(200)}
    values = {
        (member, key): {item: value for item, value in own.items() if int(item) in ranges[member]}
        for (member, key), own in whole.columns.items()
    }
    matrix = VerdictMatrix(whole.members, values, {})
    assert best_cascade(whole, priced(1, 1, 20), LABELS, KINDS, "E") is not None
    assert best_cascade(matrix, priced(1, 1, 20), LABELS, KINDS, "E") is None


def judge(request: ModelRequest) -> str:
    text = "\n".join(str(message.content) for message in request.messages)
    output = text.split("<model_response>")[1].split("</model_response>")[0].strip()
    if "abstain" in output and "cheap" in text:
        return json.dumps({"reasoning": "I cannot say.", "right": None})
    fails = ("c" in output and "step one" in text) or ("x" in output and "step two" in text)
    fails = fails or ("z" in output and "step good" in text)
    return json.dumps({"reasoning": "I looked.", "right": "fail" if fails else "pass"})


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Name", instruction="Name one."), judge, Agrees())


async def add_judges(bench: Bench) -> None:
    first: dict[str, object] = {"test_filter": "tag::eval_right"}
    for name, step in (("A", "cheap step one"), ("B", "cheap step two"), ("C", "step good")):
        await bench.evaluator(type="llm_judge", steps=[step], name=name, **first)
        first.clear()


async def scores_of(bench: Bench, *outputs: str) -> list[tuple[float | None, int]]:
    """Return the cascade's verdict of each output, and how often it asked a model."""
    runs = [TaskRun(input=o, output=TaskOutput(output=o), tags=("golden_right",)) for o in outputs]
    async with bench.store.transaction() as change:
        for run in runs:
            change.save(run, parent=bench.task)
    await bench.label({run.id: "pass" for run in runs})
    await bench.measure(evaluators=["Cascade"])
    eval_record = await bench.store.find(Eval, "Right", parent=bench.task)
    cascade = await bench.store.find(EvalConfig, "Cascade", parent=eval_record)
    verdicts = {run.dataset_id: run for run in await bench.store.children(cascade, EvalRun)}
    return [
        (verdicts[run.id].scores.get("right"), sum(run.input in str(r) for r in bench.model.asked))
        for run in runs
    ]


async def test_the_good_judge_is_asked_only_where_cheap_ones_differ_or_abstain(
    bench: Bench,
) -> None:
    await add_judges(bench)
    await bench.evaluator(type="cascade", judges=["A", "B", "C"], name="Cascade")
    results = await scores_of(bench, "mmm", "ccc", "cz1", "abstain")
    assert results == [(1.0, 2), (1.0, 3), (0.0, 3), (1.0, 2)]


async def test_a_person_decides_at_the_end_of_a_cascade_that_ends_with_one(bench: Bench) -> None:
    await add_judges(bench)
    await bench.evaluator(type="cascade", judges=["A", "B", "person"], name="Cascade")
    results = await scores_of(bench, "mmm", "ccc")
    assert results == [(1.0, 2), (None, 2)]


async def test_a_cascade_of_a_new_eval_or_of_a_check_is_refused(bench: Bench) -> None:
    cascade = {"type": "cascade", "judges": ["A", "Check"]}
    with pytest.raises(Refusal, match="the eval is new"):
        await bench.evaluator(**cascade)
    await bench.evaluator(
        type="llm_judge", steps=["cheap step one"], name="A", test_filter="tag::eval_right"
    )
    await bench.evaluator(type="contains", substring="x", name="Check")
    with pytest.raises(WorkbenchError, match="Check is no judge"):
        await bench.evaluator(**cascade)
