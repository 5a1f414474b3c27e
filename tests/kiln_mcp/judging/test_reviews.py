"""Reviews draw half by information and half at random, and measure on labels that took no part."""

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest

from bench import Agrees, Bench, BenchSetup
from kiln_mcp.evaluators.clause_verdicts import CLAUSE_VERDICTS, ClauseVerdictLine
from kiln_mcp.judging.golden_sets import open_labelling_pass
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.ledger import (
    AT_RANDOM,
    INFORMATIVE,
    Draw,
    Label,
    State,
    append_labels,
    read_draws,
    read_labels,
)
from kiln_mcp.labels.reviews import agreement_in_review, read_information, review_labels
from kiln_mcp.llm import ModelRequest
from kiln_mcp.statistics.review_draws import ReviewAgreement
from storage import Eval, EvalOutputScore, Task, TaskOutput, TaskRun

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def judge(request: ModelRequest) -> str:
    return json.dumps({"reasoning": "I looked.", "right": "pass"})


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Name", instruction="Name one."), judge, Agrees())


async def golden_runs(bench: Bench, count: int = 40) -> tuple[Eval, list[TaskRun]]:
    """Make an eval with a judge that passes all, and its golden set."""
    settings = {"type": "llm_judge", "steps": ["Is it an animal?"]}
    await bench.evaluator_of("Right", settings, {"test_filter": "tag::test_right"})
    record = await bench.store.find(Eval, "Right", parent=bench.task)
    async with bench.store.transaction() as change:
        runs = [
            TaskRun(
                input=f"animal {n}", output=TaskOutput(output=f"cat {n}"), tags=("golden_right",)
            )
            for n in range(count)
        ]
        return record, [change.save(run, parent=bench.task) for run in runs]


async def split_panel(bench: Bench, runs: Collection[TaskRun]) -> None:
    """Store verdicts of a panel that differ on some outputs."""
    lines = [
        ClauseVerdictLine(
            reading=reading, item=run.id, output=run.fingerprint, verdicts={"d": [reading == "a"]}
        )
        for run in runs
        for reading in ("a", "b")
    ]
    async with bench.store.transaction() as change:
        change.append_lines(bench.task, CLAUSE_VERDICTS, [line.model_dump_json() for line in lines])


async def only_draw(bench: Bench, record: Eval) -> Draw:
    (draw,) = (await read_draws(bench.store, record)).entries
    return draw


async def golden_set_of(bench: Bench) -> GoldenSet:
    return (await open_labelling_pass(bench.store, ["Right"])).first


async def test_half_of_a_review_are_outputs_that_split_the_panel(bench: Bench) -> None:
    record, runs = await golden_runs(bench)
    await split_panel(bench, runs[:5])
    batch = await bench.batch(10, purpose="review", rater="ann")
    draw = await only_draw(bench, record)
    assert draw.purpose == "review"
    informative, at_random = (draw.strata[name] for name in (INFORMATIVE, AT_RANDOM))
    assert len(informative.drawn) == len(at_random.drawn) == 5
    splitting = {run.id for run in runs[:5]}
    assert splitting <= {*informative.drawn, *at_random.drawn}
    assert at_random.open == 40
    assert sorted(item.item for item in batch.items) == sorted(draw.items)


async def test_only_labels_of_the_random_half_have_a_probability(bench: Bench) -> None:
    record, _ = await golden_runs(bench)
    batch = await bench.batch(8, purpose="review", rater="ann")
    await bench.label({item.item: "pass" for item in batch.items})
    labels = (await read_labels(bench.store, record)).entries
    by_stratum = {label.stratum: label.probability for label in labels}
    assert by_stratum == {INFORMATIVE: None, AT_RANDOM: 4 / 40}
    assert {(label.purpose, label.blind) for label in labels} == {("review", True)}


async def agreement(bench: Bench, since: datetime, goal: float = 0.8) -> ReviewAgreement:
    golden_set = await golden_set_of(bench)
    verdicts = {run.id: 1.0 for run in golden_set.runs}
    return agreement_in_review(golden_set, golden_set.scores[0], verdicts, since, goal)


async def test_agreement_is_measured_on_the_random_half_alone(bench: Bench) -> None:
    record, runs = await golden_runs(bench)
    await split_panel(bench, runs[:10])
    batch = await bench.batch(20, purpose="review", rater="ann")
    draw = await only_draw(bench, record)
    informative = set(draw.strata[INFORMATIVE].drawn)
    await bench.label({i.item: "fail" if i.item in informative else "pass" for i in batch.items})
    result = await agreement(bench, LONG_AGO)
    assert (result.agreements, result.labels) == (10, 10)
    assert result.interval.high == 1.0


async def test_labels_from_before_a_judge_was_made_do_not_measure_it(bench: Bench) -> None:
    await golden_runs(bench)
    batch = await bench.batch(10, purpose="review", rater="ann")
    await bench.label({item.item: "pass" for item in batch.items})
    made_at = datetime.now(UTC) + timedelta(seconds=1)
    assert (await agreement(bench, made_at)).labels == 0
    golden_set = await golden_set_of(bench)
    _, others = review_labels(golden_set, golden_set.scores[0], made_at)
    assert others == {item.item for item in batch.items}


async def test_a_withdrawn_label_no_longer_counts_and_a_defensible_one_agrees(
    bench: Bench,
) -> None:
    record, _ = await golden_runs(bench, 10)
    await bench.batch(10, purpose="review", rater="ann")
    items = list((await only_draw(bench, record)).items)
    words = ["both", "cannot judge", "fail", *["pass"] * 7]
    await bench.label(dict(zip(items, words, strict=True)))
    result = await agreement(bench, LONG_AGO)
    assert (result.agreements, result.labels) == (8, 9)
    assert result.interval.width < 0.01, "every output of the pool has a label"


async def test_judges_that_differ_make_an_output_informative(bench: Bench) -> None:
    _, runs = await golden_runs(bench, 6)
    await bench.evaluator(name="digit", type="contains", substring="cat 3")
    await bench.label({run.id: "pass" for run in runs})
    await bench.measure()
    information = await read_information(
        bench.store, await open_labelling_pass(bench.store, ["Right"])
    )
    assert information[runs[3].id] < information[runs[0].id]


async def test_a_review_resumes_and_a_label_given_by_hand_takes_part(bench: Bench) -> None:
    _, runs = await golden_runs(bench, 12)
    await bench.label({runs[0].id: "pass"})
    batch = await bench.batch(12, purpose="review", rater="ann")
    assert runs[0].id not in {item.item for item in batch.items}
    await bench.label({item.item: "pass" for item in batch.items})
    result = await agreement(bench, LONG_AGO)
    assert (result.agreements, result.labels) == (11, 11)


async def reviewed(bench: Bench, count: int) -> list[str]:
    """Have a person pass the outputs of a review, and the judge judge them; return the items."""
    await golden_runs(bench, count)
    items = [item.item for item in (await bench.batch(count, purpose="review")).items]
    saved = await bench.label(dict.fromkeys(items, "pass"))
    assert "no verdict yet" in (saved.message or "")
    await bench.measure()
    return items


async def test_labels_of_a_review_tell_how_far_the_judge_agrees(bench: Bench) -> None:
    items = await reviewed(bench, 8)
    saved = await bench.label({items[0]: "fail", items[1]: "fail", items[2]: "pass"})
    message = saved.message or ""
    assert "agrees on 6 of 8 random outputs that took no part in making it" in message
    assert f"differs on {items[0]}, {items[1]}: ask the person why" in message


async def test_labels_with_reasons_are_not_asked_for_again(bench: Bench) -> None:
    items = await reviewed(bench, 8)
    entries = [{"item": item, "label": "fail", "reason": "no animal"} for item in items[1:]]
    saved = await bench.save_labels(entries)
    assert "agrees on 1 of 8" in (saved.message or "")
    assert "ask the person" not in (saved.message or "")


async def test_a_review_says_when_the_usual_goal_is_reached(bench: Bench) -> None:
    items = await reviewed(bench, 8)
    saved = await bench.label({items[0]: "pass"})
    assert "90% are reached" in (saved.message or "")


async def test_a_review_of_a_part_says_about_how_many_labels_the_goal_takes(bench: Bench) -> None:
    await golden_runs(bench, 60)
    items = [item.item for item in (await bench.batch(12, purpose="review")).items]
    await bench.label(dict.fromkeys(items, "pass"))
    await bench.measure()
    saved = await bench.label({items[0]: "pass"})
    assert "such labels would show 90%" in (saved.message or "")


async def test_an_eval_without_a_judge_is_reviewed_and_nothing_is_compared(bench: Bench) -> None:
    score = EvalOutputScore(name="Right", type="pass_fail")
    record = Eval(
        name="Right",
        eval_set_filter_id="tag::test",
        eval_configs_filter_id="tag::golden_right",
        output_scores=(score,),
    )
    await bench.store.save(record, parent=bench.task)
    run = TaskRun(input="a", output=TaskOutput(output="cat"), tags=("golden_right",))
    run = await bench.store.save(run, parent=bench.task)
    batch = await bench.batch(1, purpose="review")
    assert [item.item for item in batch.items] == [run.id]
    assert (await bench.label({run.id: "pass"})).message is None


async def test_labels_of_other_purposes_say_nothing_of_a_review(bench: Bench) -> None:
    _, runs = await golden_runs(bench, 4)
    assert (await bench.label({run.id: "pass" for run in runs})).message is None


async def test_withdrawn_labels_and_those_of_other_items_and_scores_do_not_measure(
    bench: Bench,
) -> None:
    record, _ = await golden_runs(bench, 6)
    await bench.batch(6, purpose="review", rater="ann")
    draw = await only_draw(bench, record)
    first, second, *rest = draw.items

    def label(item: str, state: State = "value", score: str = "right") -> Label:
        value = 1.0 if state == "value" else None
        return Label(
            item=item,
            score=score,
            value=value,
            state=state,
            rater="ann",
            purpose="review",
            draw=draw.id,
            stratum=AT_RANDOM,
        )

    labels = [label(first), label(second), label(second, "withdrawn"), label("gone")]
    async with bench.store.transaction() as change:
        append_labels(change, record, [*labels, label(rest[0], score="other")])
    assert (await agreement(bench, LONG_AGO)).labels == 1
