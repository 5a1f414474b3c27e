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
    assert 4 < interval.low < interval.high <= 5


@pytest.mark.parametrize("values", [[], [2.0], [2.0, 2.0]])
def test_without_a_scale_values_need_spread(values: list[float]) -> None:
    assert isinstance(bayesian_mean_interval(values), CannotTell)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [0.1, 0.9, 0.4, 0.4, 0.7]
    assert bayesian_mean_interval(values, seed=3) == bayesian_mean_interval(values, seed=3)


@pytest.mark.parametrize("count", [8, 20, 40])
def test_the_interval_covers_the_mean_of_few_skewed_differences(count: int) -> None:
    draw = random.Random(9)
    runs, covered = 200, 0
    for run in range(runs):
        values = [draw.choices([-0.5, 0.0, 1.0], weights=[20, 60, 20])[0] for _ in range(count)]
        interval = bayesian_mean_interval(values, ValueRange(-1, 1), seed=run)
        covered += isinstance(interval, Interval) and 0.1 in interval
    assert covered / runs >= 0.92
