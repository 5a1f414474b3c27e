import csv
import random
from pathlib import Path

import pytest

from kiln_mcp.judging.judge_agreement import Agreement, JudgeStanding, describe, measure
from kiln_mcp.judging.label_bases import LabelBasis
from kiln_mcp.statistics import CannotTell, Interval, Measure, PairStratum

GOLDEN = Path(__file__).parents[2] / "data" / "kiln_demo" / "golden.csv"


Pairs = list[tuple[float, float]]
"""Verdict and label of each item."""


def measured(pairs: Pairs, kind: str = "pass_fail", seed: int = 0) -> Agreement:
    """Measure a judge by labels of picked items."""
    strata = [PairStratum(len(pairs), pairs)]
    return measure(LabelBasis("by hand", strata, strata, len(pairs)), kind, seed)


def number(agreement: Agreement, name: Measure) -> float | CannotTell:
    return agreement.estimate(name).value


def demo_judges() -> dict[str, Pairs]:
    judges: dict[str, Pairs] = {}
    with GOLDEN.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            pair = float(row["judge_score"]), float(row["human"])
            judges.setdefault(row["judge_id"], []).append(pair)
    return judges


@pytest.mark.parametrize("judge", demo_judges())
def test_every_judge_of_the_demo_project_is_no_better_than_always_answering_pass(
    judge: str,
) -> None:
    words = describe(measured(demo_judges()[judge]), "pass_fail")
    assert words.startswith("No better than always answering 'pass'")
    assert "always answering 'pass' on 76%" in words


def verdicts(count: int, accuracy: float, passes: float, seed: int = 0) -> Pairs:
    draw = random.Random(seed)
    pairs: Pairs = []
    for _ in range(count):
        label = float(draw.random() < passes)
        judged = label if draw.random() < accuracy else 1 - label
        pairs.append((judged, label))
    return pairs


def test_a_good_judge_beats_the_constant_answer() -> None:
    agreement = measured(verdicts(120, 0.95, 0.5))
    assert describe(agreement, "pass_fail").startswith("Better than always answering")
    assert 0.95 in agreement.interval


def test_a_judge_that_always_says_pass_is_worth_nothing() -> None:
    pairs = [(1.0, label) for _, label in verdicts(100, 1, 0.8)]
    agreement = measured(pairs)
    assert describe(agreement, "pass_fail").startswith("No better than always answering 'pass'")
    assert agreement.kappa.value == pytest.approx(0)


def test_ten_agreements_of_ten_are_not_said_to_be_a_good_judge_of_fails() -> None:
    agreement = measured([(1.0, 1.0)] * 10)
    assert describe(agreement, "pass_fail").startswith("Cannot tell")
    assert isinstance(agreement.kappa.value, CannotTell)


def test_a_slightly_better_judge_is_better_than_chance_and_no_more() -> None:
    agreement = measured(verdicts(150, 0.8, 0.75, seed=2))
    assert describe(agreement, "pass_fail").startswith("Better than chance, but not shown to beat")


def test_stars_are_compared_by_whole_stars_with_their_bias() -> None:
    pairs = [(star + 0.6, star) for star in (1.0, 2.0, 3.0, 4.0)] * 10
    agreement = measured(pairs, "five_star")
    assert agreement.agreement == 0
    assert number(agreement, Measure.BIAS) == pytest.approx(0.6)
    assert number(agreement, Measure.TAU_B) == pytest.approx(1.0)
    assert Measure.TRUE_PASS_RATE not in agreement.estimates.measures


def test_labels_drawn_by_verdict_are_weighted_back_to_the_pool() -> None:
    """A judge that is right on 95 % of what it passes, and on 40 % of the few that it fails."""
    draw = random.Random(8)
    runs, covered, naive_covered = 40, 0, 0
    truth = 0.9 * 0.95 + 0.1 * 0.4
    for run in range(runs):
        strata: list[PairStratum] = []
        for judged, right, size in ((1.0, 0.95, 900), (0.0, 0.4, 100)):
            hits = [draw.random() < right for _ in range(25)]
            pairs = [(judged, judged if hit else 1 - judged) for hit in hits]
            strata.append(PairStratum(size, pairs, judged))
        agreement = measure(LabelBasis("drawn", strata, strata, 50), "pass_fail", seed=run)
        plain = measured([pair for stratum in strata for pair in stratum.pairs], seed=run)
        covered += truth in agreement.interval
        naive_covered += truth in plain.interval
        assert isinstance(agreement.kappa.interval, Interval)
    assert covered >= 36
    assert naive_covered < 20


def test_items_that_were_passed_over_count_as_disagreements_and_widen_the_interval() -> None:
    """Of 40 drawn items 22 % were passed over: 78 % is no 100 %."""
    labelled, passed_over = [(1.0, 1.0)] * 20 + [(0.0, 0.0)] * 11, [1.0] * 9
    against = [PairStratum(400, [*labelled, *((verdict, 0.0) for verdict in passed_over)])]
    in_favour = [PairStratum(400, [*labelled, *((verdict, 1.0) for verdict in passed_over)])]
    agreement = measure(LabelBasis("drawn", against, in_favour, 31, skips=9), "pass_fail")
    assert agreement.agreement == pytest.approx(0.775)
    assert agreement.interval.low < 0.7
    assert agreement.interval.high > 0.95
    assert "9 drawn items without a label count as disagreements" in describe(
        agreement, "pass_fail"
    )


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one labelled"):
        measured([])


def test_labels_that_are_all_one_do_not_show_whether_a_judge_is_any_good() -> None:
    pairs = [(float(n % 3 > 0), 1.0) for n in range(60)]
    agreement = measured(pairs)
    assert "all labels are the same" in describe(agreement, "pass_fail")


def test_a_judge_at_chance_level_is_not_shown_to_be_better_than_chance() -> None:
    pairs = [(float(n % 2), float(n % 4 > 1)) for n in range(40)]
    pairs += [(1.0, 1.0), (0.0, 0.0)]
    agreement = measured(pairs)
    assert describe(agreement, "pass_fail").startswith("Not shown to be better than chance")
    assert agreement.standing is JudgeStanding.NOT_ABOVE_CHANCE


def test_critical_fails_are_verdicts_of_their_own() -> None:
    pairs = [(-1.0, -1.0), (0.0, -1.0), (1.0, 1.0)]
    agreement = measured(pairs, "pass_fail_critical")
    assert agreement.agreement == pytest.approx(2 / 3)
    assert number(agreement, Measure.TRUE_FAIL_RATE) == pytest.approx(1.0)
