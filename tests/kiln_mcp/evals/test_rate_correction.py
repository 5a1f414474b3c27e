"""Rates as people's labels correct them: only labels drawn at random among the same outputs."""

import random
from collections.abc import Iterable
from math import sqrt
from statistics import fmean, stdev

import pytest

from bench import Agrees, Bench, BenchSetup
from imported_answers import DIGITS_JUDGE, add, add_answers, answer, fail_digits
from kiln_mcp.datasets.rating_criteria import RatingCriterion, with_rating
from kiln_mcp.evals.answers import EvalReport
from kiln_mcp.evals.peoples_labels import PeoplesLabels
from kiln_mcp.evals.rate_answers import RateRow, SliceRow
from kiln_mcp.evals.rate_correction import corrected_share
from kiln_mcp.evals.rates import ItemVerdicts
from kiln_mcp.evals.results.service import show_results
from kiln_mcp.statistics import Interval
from storage import EvalOutputScore, Task, TaskRun


@pytest.fixture
def bench_setup() -> BenchSetup:
    return BenchSetup(Task(name="Support", instruction="Help."), fail_digits, Agrees())


async def rate(bench: Bench, outputs: str = "all") -> RateRow:
    """Return the rate of the stored outputs, none of which is judged by now."""
    [row] = (await bench.run(outputs=outputs)).rates
    return row


async def truth(bench: Bench, items: Iterable[str]) -> dict[str, str]:
    """Return what a person says of items: a rude answer fails, whatever the judge says."""
    runs = {run.id: run for run in await bench.store.children(bench.task, TaskRun)}
    return {item: "fail" if "rude" in runs[item].output.output else "pass" for item in items}


async def label_drawn(
    bench: Bench, count: int, seed: int = 0, purpose: str = "development"
) -> None:
    batch = await bench.batch(count, seed, purpose)
    await bench.label(await truth(bench, [item.item for item in batch.items]))


@pytest.mark.parametrize("purpose", ["development", "certificate"])
async def test_labels_drawn_at_random_correct_what_the_judge_gets_wrong(
    bench: Bench, purpose: str
) -> None:
    await add_answers(bench, fine=30, rude=20, fine_1=10)
    await bench.evaluator(**DIGITS_JUDGE)
    raw = await rate(bench)
    assert (raw.rate, raw.corrected_rate) == (round(10 / 60, 4), None)
    await label_drawn(bench, 30, purpose=purpose)
    row = await rate(bench)
    assert (row.rate, row.labels) == (raw.rate, 30)
    assert row.corrected_low is not None
    assert row.corrected_high is not None
    assert row.corrected_low < 20 / 60 < row.corrected_high
    assert row.corrected_high - row.corrected_low < 0.35
    assert "Corrected by 30 labels" in row.says


async def test_the_correction_weighs_each_verdict_by_its_size(bench: Bench) -> None:
    # Half of the draw is spread evenly over the verdicts, so the rare one is drawn too often.
    await add_answers(bench, fine=90, rude_1=10)
    await bench.evaluator(**DIGITS_JUDGE)
    await rate(bench)
    await label_drawn(bench, 20)
    row = await rate(bench)
    assert row.corrected_rate == 0.1


async def test_labels_picked_by_hand_correct_nothing(bench: Bench) -> None:
    await add_answers(bench, fine=20, rude=20)
    await bench.evaluator(**DIGITS_JUDGE)
    await rate(bench)
    runs = await bench.store.children(bench.task, TaskRun)
    rude = [run.id for run in runs if run.output.output == "rude"]
    await bench.label(await truth(bench, rude))
    row = await rate(bench)
    assert (row.labels, row.corrected_rate) == (0, None)
    assert "20 labels were picked by hand" in row.says


async def test_ratings_that_another_program_wrote_are_told_as_labels_picked_by_hand(
    bench: Bench,
) -> None:
    await add_answers(bench, fine=3, rude=1)
    await bench.evaluator(**DIGITS_JUDGE)
    criterion = RatingCriterion("Right", "pass_fail", ("named::Right",))
    for run in await bench.store.children(bench.task, TaskRun):
        await bench.store.save(with_rating(run, criterion, 1.0))
    row = await rate(bench)
    assert (row.labels, row.corrected_rate) == (0, None)
    assert "4 labels were picked by hand" in row.says


async def test_development_labels_that_a_judge_may_know_do_not_correct_its_rate(
    bench: Bench,
) -> None:
    await add_answers(bench, fine=20, rude=20)
    await bench.evaluator(**DIGITS_JUDGE)
    await rate(bench)
    await label_drawn(bench, 10)
    later = await bench.evaluator(**{**DIGITS_JUDGE, "name": "later"})
    report = await bench.run(outputs="all", evaluators=["digits", later.evaluator_id])
    assert {row.evaluator: row.labels for row in report.rates} == {"digits": 10, "later": 0}
    says = next(row.says for row in report.rates if row.evaluator == "later")
    assert "10 labels are older than this judge, which may be written from them" in says
    assert "picked by hand" not in says


async def test_labels_of_other_outputs_do_not_correct_a_rate(bench: Bench) -> None:
    await add_answers(bench, fine=20, rude=20)
    await bench.evaluator(**DIGITS_JUDGE)
    await rate(bench)
    await label_drawn(bench, 10)
    await add(bench, *(answer("other", tags=("beta",), number=n) for n in range(8)))
    row = await rate(bench, "tag::beta")
    assert (row.labels, row.corrected_rate) == (0, None)
    row = await rate(bench, "all")
    assert row.corrected_rate is None
    assert "they were drawn from the golden set, which lacks 8 of these 48 outputs" in row.says
    assert (await rate(bench, "tag::production")).corrected_rate is not None


async def test_passing_over_drawn_outputs_never_narrows_the_rate(bench: Bench) -> None:
    await add_answers(bench, fine=20, rude=20)
    await bench.evaluator(**DIGITS_JUDGE)
    await rate(bench)
    batch = await bench.batch(10, 0, "development")
    answers = await truth(bench, [item.item for item in batch.items])
    kept = {item: label for item, label in answers.items() if label == "pass"}
    await bench.label(kept)
    second = {item.item for item in (await bench.batch(20, 1, "development")).items}
    await bench.label(await truth(bench, second - answers.keys()))
    row = await rate(bench)
    assert "were passed over" in row.says
    assert row.corrected_high is not None
    assert row.corrected_high > 0.5


@pytest.mark.parametrize("word", ["skip", "cannot judge"])
async def test_an_output_that_a_person_cannot_or_will_not_judge_widens_the_rate_both_ways(
    bench: Bench, word: str
) -> None:
    await add_answers(bench, fine=20, rude=20)
    await bench.evaluator(**DIGITS_JUDGE)
    await rate(bench)
    items = [item.item for item in (await bench.batch(20, 0, "development")).items]
    await bench.label(await truth(bench, items[4:]))
    before = await rate(bench)
    await bench.label(dict.fromkeys(items[:4], word))
    after = await rate(bench)
    assert (before.labels, after.labels) == (16, 16)
    assert "4 drawn outputs were passed over" in after.says
    assert before.corrected_low is not None
    assert after.corrected_low is not None
    assert after.corrected_low < before.corrected_low
    assert before.corrected_high is not None
    assert after.corrected_high is not None
    assert after.corrected_high > before.corrected_high


@pytest.mark.slow
def test_the_corrected_rate_is_unbiased_and_covers_under_uneven_draws() -> None:
    score = EvalOutputScore(name="Right", type="pass_fail")
    chooser = random.Random(7)
    items = [f"{number:04}" for number in range(300)]
    fails = {item: chooser.random() < 0.3 for item in items}
    # The judge misses a third of the failures; the draw prefers what another judge fails.
    judge = {item: float(not fails[item] or chooser.random() < 0.33) for item in items}
    other = {item: (f"other {int(not fails[item] or chooser.random() < 0.5)}",) for item in items}
    verdicts = ItemVerdicts(score, judge, 0.5)
    truth = sum(fails.values()) / len(items)
    shares: list[float] = []
    covers = 0
    for repeat in range(300):
        draw = random.Random(repeat)
        drawn: list[str] = []
        for name, count in (("other 0", 25), ("other 1", 25)):
            stratum = [item for item in items if other[item] == (name,)]
            drawn += draw.sample(stratum, min(count, len(stratum)))
        labels = PeoplesLabels(
            drawn={item: fails[item] for item in drawn},
            hand_labels={},
            known_answers={},
            skipped=set(),
            draws=(),
            pool=set(items),
            waiting_labels=0,
        )
        estimate = corrected_share(verdicts, labels, other, repeat)
        assert isinstance(estimate.value, float)
        assert isinstance(estimate.interval, Interval)
        shares.append(estimate.value)
        covers += truth in estimate.interval
    error = stdev(shares) / sqrt(len(shares))
    assert abs(fmean(shares) - truth) < 3 * error
    assert covers / len(shares) >= 0.93


async def slices(bench: Bench) -> tuple[dict[str, SliceRow], str]:
    """Return the slices by tag, and what is said of labels."""
    report = await show_results(
        bench.workspace, bench.folder, "Right", outputs="all", slice_by="tag"
    )
    assert isinstance(report, EvalReport)
    return {row.slice: row for row in report.slices}, report.conclusions[-1]


async def test_labels_correct_the_slices_in_which_enough_were_drawn(bench: Bench) -> None:
    tags = {"beta": 30, "live": 30, "rare": 6}
    for tag, count in tags.items():
        texts = ["rude" if tag == "beta" and n % 2 else "fine" for n in range(count)]
        runs = [answer(text, tags=(tag,), number=n) for n, text in enumerate(texts)]
        await add(bench, *runs)
    await bench.evaluator(**DIGITS_JUDGE)
    await rate(bench)
    rows, says = await slices(bench)
    assert {row.corrected_rate for row in rows.values()} == {None}
    assert "labels correct the rate of 0 of 3 slices" in says
    assert "since no person has labelled these outputs" in says
    await label_drawn(bench, 40)
    rows, says = await slices(bench)
    beta, live = rows["beta"], rows["live"]
    assert (beta.rate, live.rate) == (0, 0), "the judge passes all of them"
    assert beta.labels is not None
    assert beta.corrected_low is not None
    assert beta.corrected_high is not None
    assert beta.corrected_low < 0.5 < beta.corrected_high
    assert beta.corrected_low > (live.corrected_rate or 0)
    assert live.corrected_rate == pytest.approx(0, abs=0.02)
    assert "drawn labels are too few" in says or rows["rare"].labels
