import random
from collections.abc import Sequence

import pytest

from kiln_mcp.statistics import (
    CannotTell,
    Interval,
    ScoreColumns,
    best_systems,
    differences_from,
    mcnemar_exact,
    paired_newcombe_interval,
    score_columns,
)
from kiln_mcp.statistics.differences import PairedCounts

MANY_SEEDS = 200


def columns_of(rows: Sequence[Sequence[float]]) -> list[dict[str, float]]:
    """Return systems' scores by item from one list of scores for each system."""
    return [{f"item {n:04}": value for n, value in enumerate(row)} for row in rows]


def equal_systems(systems: int, items: int, seed: int, rate: float = 0.8) -> ScoreColumns:
    """Return systems that do equally well; items differ in difficulty."""
    draw = random.Random(seed)
    chances = [min(1.0, max(0.0, draw.gauss(rate, 0.2))) for _ in range(items)]
    return score_columns(
        columns_of([[float(draw.random() < p) for p in chances] for _ in range(systems)])
    )


def test_two_systems_have_the_interval_and_the_test_of_a_single_comparison() -> None:
    first = [1.0] * 30 + [0.0] * 30
    second = [1.0] * 45 + [0.0] * 15
    (difference,) = differences_from(score_columns(columns_of([first, second])), 0)
    counts = PairedCounts.of([bool(v) for v in first], [bool(v) for v in second])
    assert isinstance(difference.interval, Interval)
    expected = paired_newcombe_interval(counts)
    assert difference.interval.low <= expected.low + 0.005
    assert difference.interval.high >= expected.high - 0.005
    assert difference.interval.width < 1.15 * expected.width
    assert difference.p_value == mcnemar_exact(0, 15)
    assert difference.is_shown


def test_more_systems_widen_every_interval() -> None:
    table = equal_systems(12, 80, seed=3)
    few = ScoreColumns(table.items, table.values[:, :2], table.present[:, :2], 0.0, 1.0)
    narrow = differences_from(few, 0)[0].interval
    wide = differences_from(table, 0)[0].interval
    assert isinstance(narrow, Interval)
    assert isinstance(wide, Interval)
    assert wide.width > 1.2 * narrow.width


def test_a_system_that_is_far_better_is_the_only_one_that_may_be_best() -> None:
    rows = [[float(n % 3 == 0) for n in range(90)] for _ in range(6)]
    rows[4] = [float(n % 10 != 0) for n in range(90)]
    best = best_systems(score_columns(columns_of(rows)))
    assert best.best == 4
    assert best.candidates == (4,)
    assert all(difference.is_shown for difference in best.differences)


def test_equal_systems_may_all_be_best_and_more_items_are_asked_for() -> None:
    best = best_systems(equal_systems(5, 60, seed=1))
    assert best.candidates == (0, 1, 2, 3, 4)
    apart = [d for d in best.differences if d.difference != 0]
    assert all(d.more_items is not None and d.more_items > 60 for d in apart)


def test_a_pair_is_compared_on_the_items_that_both_have() -> None:
    full = {f"i{n}": float(n % 2) for n in range(40)}
    half = {f"i{n}": 1.0 for n in range(0, 40, 2)}
    (difference,) = differences_from(score_columns([full, half]), 0)
    assert difference.count == 20
    assert difference.difference == 1.0


def test_systems_without_a_shared_item_cannot_be_told_apart() -> None:
    table = score_columns([{"a": 1.0, "b": 0.0}, {"c": 1.0, "d": 1.0}, {"a": 1.0, "b": 1.0}])
    first, second = differences_from(table, 0)
    assert isinstance(first.interval, CannotTell)
    assert not first.is_shown
    assert second.count == 2


def test_scores_on_stars_are_compared_on_their_scale() -> None:
    draw = random.Random(5)
    first = [float(draw.randint(1, 4)) for _ in range(60)]
    second = [value + 1 for value in first]
    (difference,) = differences_from(score_columns(columns_of([first, second]), (1.0, 5.0)), 0)
    assert isinstance(difference.interval, Interval)
    assert 0.8 < difference.interval.low < 1.0
    assert difference.is_shown


def test_the_same_seed_gives_the_same_intervals() -> None:
    table = equal_systems(6, 50, seed=9)
    assert differences_from(table, 2, seed=4) == differences_from(table, 2, seed=4)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("rate", [0.8, 0.95])
def test_the_best_of_31_equal_systems_is_rarely_called_better_than_the_worst(rate: float) -> None:
    corrected = uncorrected = 0
    for seed in range(MANY_SEEDS):
        table = equal_systems(31, 150, seed, rate)
        corrected += len(best_systems(table).candidates) < 31
        best, worst = int(table.means.argmax()), int(table.means.argmin())
        pair = table.values[:, [worst, best]]
        alone = ScoreColumns(table.items, pair, table.present[:, :2], 0.0, 1.0)
        uncorrected += differences_from(alone, 0)[0].is_shown
    assert corrected <= 0.05 * MANY_SEEDS + 2 * (0.05 * 0.95 * MANY_SEEDS) ** 0.5
    assert uncorrected >= 0.9 * MANY_SEEDS


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("items", [20, 60])
@pytest.mark.parametrize("is_binary", [True, False])
def test_intervals_against_a_baseline_hold_together(items: int, is_binary: bool) -> None:
    draw = random.Random(11)
    truths = [0.75, 0.75, 0.85, 0.6, 0.9, 0.8]
    held = 0
    for _ in range(MANY_SEEDS):
        rows = [_scores(draw, truth, items, is_binary=is_binary) for truth in truths]
        differences = differences_from(score_columns(columns_of(rows), (0.0, 1.0)), 0)
        held += all(
            isinstance(d.interval, Interval) and truths[d.second] - truths[0] in d.interval
            for d in differences
        )
    assert held >= 0.92 * MANY_SEEDS


def _scores(draw: random.Random, mean: float, items: int, *, is_binary: bool) -> list[float]:
    if is_binary:
        return [float(draw.random() < mean) for _ in range(items)]
    return [draw.betavariate(4 * mean, 4 * (1 - mean)) for _ in range(items)]
