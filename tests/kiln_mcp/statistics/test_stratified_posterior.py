import random
from collections.abc import Sequence
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, pearsonr, spearmanr

from kiln_mcp.statistics import (
    CannotTell,
    Interval,
    Measure,
    PairStratum,
    ShareStratum,
    agreement_strata,
    cohens_kappa,
    judge_estimates,
    scale_of,
    share_estimate,
)

PASS_FAIL, STARS = scale_of("pass_fail"), scale_of("five_star")
Pairs = Sequence[tuple[float, float]]


def value(strata: Sequence[PairStratum], measure: Measure, kind: str = "pass_fail") -> float:
    estimate = judge_estimates(strata, scale_of(kind)).measures[measure]
    assert isinstance(estimate.value, float)
    assert isinstance(estimate.interval, Interval)
    assert estimate.value in estimate.interval
    return estimate.value


star_pairs = st.lists(
    st.tuples(st.sampled_from([1.0, 2.0, 2.5, 4.0, 5.0]), st.sampled_from([1.0, 3.0, 4.0, 5.0])),
    min_size=4,
    max_size=30,
).filter(lambda pairs: len({a for a, _ in pairs}) > 1 and len({b for _, b in pairs}) > 1)


@settings(max_examples=8, deadline=None)
@given(star_pairs)
def test_one_stratum_has_the_correlations_that_scipy_computes(pairs: Pairs) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    strata = [PairStratum(1, pairs)]
    expected = {
        Measure.TAU_B: kendalltau(first, second).statistic,
        Measure.SPEARMAN: spearmanr(first, second).statistic,
        Measure.PEARSON: pearsonr(first, second).statistic,
        Measure.MEAN_ERROR: fmean(abs(a - b) for a, b in pairs),
        Measure.SQUARED_ERROR: fmean((a - b) ** 2 for a, b in pairs),
        Measure.BIAS: fmean(first) - fmean(second),
    }
    for measure, number in expected.items():
        assert value(strata, measure, "five_star") == pytest.approx(number, abs=1e-9)


def test_one_stratum_has_the_plain_kappa_and_rates() -> None:
    pairs = [(1.0, 1.0)] * 20 + [(1.0, 0.0)] * 5 + [(0.0, 1.0)] * 10 + [(0.0, 0.0)] * 15
    strata = [PairStratum(50, pairs)]
    kappa = cohens_kappa([a for a, _ in pairs], [b for _, b in pairs])
    assert value(strata, Measure.KAPPA) == pytest.approx(kappa)
    assert value(strata, Measure.WEIGHTED_KAPPA) == pytest.approx(kappa)
    assert value(strata, Measure.TRUE_PASS_RATE) == pytest.approx(20 / 30)
    assert value(strata, Measure.TRUE_FAIL_RATE) == pytest.approx(15 / 20)


def test_every_number_weighs_strata_by_their_size() -> None:
    """Of 800 passes 5 % are wrong, of 200 fails 40 %; each stratum has 20 labels."""
    strata = [
        PairStratum(800, [(1.0, 1.0)] * 19 + [(1.0, 0.0)], verdict=1.0),
        PairStratum(200, [(0.0, 0.0)] * 12 + [(0.0, 1.0)] * 8, verdict=0.0),
    ]
    assert value(strata, Measure.AGREEMENT) == pytest.approx(0.88)
    assert value(strata, Measure.TRUE_PASS_RATE) == pytest.approx(760 / 840)
    assert value(strata, Measure.TRUE_FAIL_RATE) == pytest.approx(120 / 160)
    assert value(strata, Measure.BIAS) == pytest.approx(0.8 - 0.84)
    assert value(strata, Measure.PASS_RATE) == pytest.approx(0.84)
    assert value(strata, Measure.ADVANTAGE) == pytest.approx(0.88 - 0.84)


def test_labels_that_are_all_one_leave_kappa_and_correlations_open() -> None:
    estimates = judge_estimates([PairStratum(9, [(1.0, 1.0)] * 9)], PASS_FAIL)
    for measure in (Measure.KAPPA, Measure.TAU_B, Measure.SPEARMAN, Measure.PEARSON):
        assert isinstance(estimates.measures[measure].value, CannotTell)
    assert isinstance(estimates.measures[Measure.TRUE_FAIL_RATE].value, CannotTell)
    assert estimates.measures[Measure.AGREEMENT].value == 1.0


def test_a_full_agreement_has_kappa_one_inside_its_interval() -> None:
    pairs = [(1.0, 1.0)] * 10 + [(0.0, 0.0)] * 10
    kappa = judge_estimates([PairStratum(20, pairs)], PASS_FAIL).measures[Measure.KAPPA]
    assert kappa.value == pytest.approx(1.0)
    assert isinstance(kappa.interval, Interval)
    assert kappa.interval.high == pytest.approx(1.0)
    assert kappa.interval.low < 0.95


def test_a_judge_that_always_passes_may_be_no_better_than_chance() -> None:
    always = [(1.0, 1.0)] * 30 + [(1.0, 0.0)] * 6
    good = [(1.0, 1.0)] * 25 + [(0.0, 0.0)] * 10
    assert judge_estimates([PairStratum(36, always)], PASS_FAIL).chance_probability > 0.005
    assert judge_estimates([PairStratum(35, good)], PASS_FAIL).chance_probability < 0.005


def test_nothing_labelled_and_foreign_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one labelled"):
        judge_estimates([PairStratum(3, [])], PASS_FAIL)
    with pytest.raises(ValueError, match="none of"):
        judge_estimates([PairStratum(3, [(1.0, 0.5)])], PASS_FAIL)


def test_a_score_between_two_values_stands_for_the_nearest() -> None:
    assert [STARS.nearest(score) for score in (1.2, 2.5, 4.6)] == [1, 3, 5]
    assert [PASS_FAIL.nearest(score) for score in (0.2, 0.5, 0.9)] == [0, 1, 1]
    assert [STARS.farthest(score) for score in (1, 3, 5)] == [5, 5, 1]


@pytest.mark.parametrize("labels", [30, 60, 120])
def test_intervals_cover_the_numbers_of_a_pool_drawn_by_verdict(labels: int) -> None:
    draw = random.Random(labels)
    pool = [
        (judged, judged if draw.random() < right else 1 - judged)
        for judged, right, size in ((1.0, 0.92, 700), (0.0, 0.7, 300))
        for _ in range(size)
    ]
    truth = judge_estimates([PairStratum(1000, pool)], PASS_FAIL).measures
    measures = (Measure.AGREEMENT, Measure.KAPPA, Measure.TRUE_PASS_RATE, Measure.TRUE_FAIL_RATE)
    covered, runs = dict.fromkeys(measures, 0), 40
    for run in range(runs):
        strata = [
            PairStratum(len(part), draw.sample(part, labels // 2), verdict)
            for verdict, part in ((1.0, pool[:700]), (0.0, pool[700:]))
        ]
        estimates = judge_estimates(strata, PASS_FAIL, seed=run).measures
        for measure in measures:
            interval, number = estimates[measure].interval, truth[measure].value
            assert isinstance(interval, Interval)
            assert isinstance(number, float)
            covered[measure] += number in interval
    assert min(covered.values()) / runs >= 0.85


def test_a_pool_labelled_whole_has_no_width_left() -> None:
    estimate = share_estimate([ShareStratum(10, 10, 7), ShareStratum(5, 5, 5)])
    assert estimate.value == pytest.approx(0.8)
    assert isinstance(estimate.interval, Interval)
    assert estimate.interval.width == pytest.approx(0)


def test_the_interval_of_an_agreement_narrows_with_labels() -> None:
    few = share_estimate(agreement_strata([200, 100], [10, 10], [9, 6], [0.9, 0.6]))
    many = share_estimate(agreement_strata([200, 100], [60, 60], [54, 36], [0.9, 0.6]))
    assert isinstance(few.interval, Interval)
    assert isinstance(many.interval, Interval)
    assert many.interval.width < few.interval.width / 1.8
    assert few.value == many.value == pytest.approx(0.8)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="successes among labels"):
        share_estimate([ShareStratum(5, 6, 1)])


def test_labels_that_earlier_ones_chose_widen_an_interval_the_more_the_fewer_they_are() -> None:
    def widths(labels: int, *, is_chosen: bool) -> float:
        strata = [
            PairStratum(
                100, [(verdict, verdict)] * (labels - 2) + [(verdict, 1 - verdict)] * 2, verdict
            )
            for verdict in (0.0, 1.0)
        ]
        shares = {(v, v): 0.5 - 1 / labels for v in (0.0, 1.0)}
        shares |= {(v, 1 - v): 1 / labels for v in (0.0, 1.0)}
        table = shares if is_chosen else None
        estimate = judge_estimates(strata, PASS_FAIL, table=table).measures[Measure.KAPPA]
        assert isinstance(estimate.interval, Interval)
        return estimate.interval.width

    few, many = [widths(n, is_chosen=True) / widths(n, is_chosen=False) for n in (10, 60)]
    assert few == pytest.approx(1.15, abs=0.02)
    assert many == pytest.approx(1.025, abs=0.01)
