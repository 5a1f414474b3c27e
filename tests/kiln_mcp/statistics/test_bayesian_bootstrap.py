import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.statistics import CannotTell, Interval, ValueRange, bayesian_mean_interval

STARS = ValueRange(1, 5)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.integers(0, 5))
def test_the_interval_stays_on_the_scale(values: list[int], seed: int) -> None:
    interval = bayesian_mean_interval(values, STARS, seed=seed)
    assert isinstance(interval, Interval)
    assert 1 <= interval.low < interval.high <= 5


def test_the_prior_items_lie_a_quarter_of_the_range_beside_its_centre() -> None:
    assert STARS.prior_items == (2, 4)
    assert ValueRange(0, 1).of_differences.prior_items == (-0.5, 0.5)


def test_equal_values_still_have_an_interval_on_a_scale() -> None:
    interval = bayesian_mean_interval([5.0] * 6, STARS)
    assert isinstance(interval, Interval)
    assert 3.5 < interval.low < interval.high <= 5


@pytest.mark.parametrize("values", [[], [2.0], [2.0, 2.0]])
def test_without_a_scale_values_need_spread(values: list[float]) -> None:
    assert isinstance(bayesian_mean_interval(values), CannotTell)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [0.1, 0.9, 0.4, 0.4, 0.7]
    assert bayesian_mean_interval(values, seed=3) == bayesian_mean_interval(values, seed=3)


@pytest.mark.parametrize("count", [8, 20, 40])
def test_the_interval_covers_the_mean_of_few_differences_of_stars(count: int) -> None:
    draw = random.Random(9)
    runs, covered, weights = 150, 0, [5, 15, 50, 20, 10]
    for run in range(runs):
        values = [float(v) for v in draw.choices([-2, -1, 0, 1, 2], weights=weights, k=count)]
        interval = bayesian_mean_interval(values, STARS.of_differences, seed=run)
        covered += isinstance(interval, Interval) and 0.15 in interval
    assert covered / runs >= 0.93
