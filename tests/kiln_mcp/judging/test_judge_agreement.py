import csv
import random
from pathlib import Path

import pytest

from kiln_mcp.judging.judge_agreement import JudgeStanding, describe, measure
from kiln_mcp.labels.ledger import LabelledVerdict
from kiln_mcp.statistics import CannotTell, Interval

GOLDEN = Path(__file__).parents[2] / "data" / "kiln_demo" / "golden.csv"


def demo_judges() -> dict[str, list[LabelledVerdict]]:
    judges: dict[str, list[LabelledVerdict]] = {}
    with GOLDEN.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            pair = LabelledVerdict(float(row["judge_score"]), float(row["human"]))
            judges.setdefault(row["judge_id"], []).append(pair)
    return judges


@pytest.mark.parametrize("judge", demo_judges())
def test_every_judge_of_the_demo_project_is_no_better_than_always_answering_pass(
    judge: str,
) -> None:
    words = describe(measure(demo_judges()[judge], "pass_fail"), "pass_fail")
    assert words.startswith("No better than always answering 'pass'")
    assert "always answering 'pass' on 76%" in words


def verdicts(count: int, accuracy: float, passes: float, seed: int = 0) -> list[LabelledVerdict]:
    draw = random.Random(seed)
    pairs: list[LabelledVerdict] = []
    for _ in range(count):
        label = float(draw.random() < passes)
        judged = label if draw.random() < accuracy else 1 - label
        pairs.append(LabelledVerdict(judged, label))
    return pairs


def test_a_good_judge_beats_the_constant_answer() -> None:
    agreement = measure(verdicts(120, 0.95, 0.5), "pass_fail")
    assert describe(agreement, "pass_fail").startswith("Better than always answering")
    assert 0.95 in agreement.interval


def test_a_judge_that_always_says_pass_is_worth_nothing() -> None:
    pairs = [LabelledVerdict(1.0, pair.label) for pair in verdicts(100, 1, 0.8)]
    agreement = measure(pairs, "pass_fail")
    assert describe(agreement, "pass_fail").startswith("No better than always answering 'pass'")
    assert agreement.kappa == pytest.approx(0)


def test_ten_agreements_of_ten_are_not_said_to_be_a_good_judge_of_fails() -> None:
    agreement = measure([LabelledVerdict(1.0, 1.0)] * 10, "pass_fail")
    assert describe(agreement, "pass_fail").startswith("Cannot tell")
    assert isinstance(agreement.kappa, CannotTell)


def test_a_slightly_better_judge_is_better_than_chance_and_no_more() -> None:
    agreement = measure(verdicts(150, 0.8, 0.75, seed=2), "pass_fail")
    assert describe(agreement, "pass_fail").startswith("Better than chance, but not shown to beat")


def test_stars_are_compared_by_whole_stars_with_their_bias() -> None:
    pairs = [LabelledVerdict(star + 0.6, star) for star in (1.0, 2.0, 3.0, 4.0)] * 10
    agreement = measure(pairs, "five_star")
    assert agreement.agreement == 0
    assert agreement.bias == pytest.approx(0.6)
    assert agreement.tau_b == pytest.approx(1.0)
    assert agreement.rates is None


def test_labels_drawn_by_verdict_are_weighted_back_to_the_pool() -> None:
    """A judge that is right on 95 % of what it passes, and on 40 % of the few that it fails."""
    draw = random.Random(8)
    runs, covered, naive_covered = 40, 0, 0
    truth = 0.9 * 0.95 + 0.1 * 0.4
    for run in range(runs):
        pairs: list[LabelledVerdict] = []
        for stratum, judged, right in (("pass", 1.0, 0.95), ("fail", 0.0, 0.4)):
            for _ in range(25):
                label = judged if draw.random() < right else 1 - judged
                pairs.append(LabelledVerdict(judged, label, stratum))
        agreement = measure(pairs, "pass_fail", {"pass": 900, "fail": 100}, seed=run)
        plain = measure(pairs, "pass_fail", seed=run)
        assert agreement.weighted
        assert not plain.weighted
        covered += truth in agreement.interval
        naive_covered += truth in plain.interval
        assert isinstance(agreement.kappa_interval, Interval)
    assert covered >= 36
    assert naive_covered < 20


def test_an_item_that_was_not_drawn_keeps_the_measurement_unweighted() -> None:
    pairs = [LabelledVerdict(1.0, 1.0, "pass"), LabelledVerdict(0.0, 0.0, None)]
    assert not measure(pairs, "pass_fail", {"pass": 10}).weighted


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one"):
        measure([], "pass_fail")


def test_labels_that_are_all_one_do_not_show_whether_a_judge_is_any_good() -> None:
    pairs = [LabelledVerdict(float(number % 3 > 0), 1.0) for number in range(60)]
    agreement = measure(pairs, "pass_fail")
    assert "all labels are the same" in describe(agreement, "pass_fail")


def test_a_judge_at_chance_level_is_not_shown_to_be_better_than_chance() -> None:
    pairs = [LabelledVerdict(float(n % 2), float(n % 4 > 1)) for n in range(40)]
    pairs += [LabelledVerdict(1.0, 1.0), LabelledVerdict(0.0, 0.0)]
    agreement = measure(pairs, "pass_fail")
    assert describe(agreement, "pass_fail").startswith("Not shown to be better than chance")
    assert agreement.standing is JudgeStanding.NOT_ABOVE_CHANCE


def test_critical_fails_are_verdicts_of_their_own() -> None:
    pairs = [LabelledVerdict(-1.0, -1.0), LabelledVerdict(0.0, -1.0), LabelledVerdict(1.0, 1.0)]
    agreement = measure(pairs, "pass_fail_critical")
    assert agreement.agreement == pytest.approx(2 / 3)
    assert agreement.rates is not None
    assert agreement.rates.true_negative_rate == 1.0
