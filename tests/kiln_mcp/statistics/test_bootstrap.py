import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from kiln_mcp.statistics import CannotTell, Interval, bootstrap_mean_interval


@given(st.lists(st.integers(-4, 4), min_size=5, max_size=40), st.integers(0, 5))
def test_the_interval_stays_among_the_values_or_says_why_there_is_none(
    values: list[int], seed: int
) -> None:
    interval = bootstrap_mean_interval(values, seed=seed)
    if len(set(values)) == 1:
        assert isinstance(interval, CannotTell)
    else:
        assert isinstance(interval, Interval)
        assert min(values) <= interval.low <= interval.high <= max(values)


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0]])
def test_values_without_spread_have_no_interval(values: list[float]) -> None:
    assert isinstance(bootstrap_mean_interval(values), CannotTell)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [0.1, 0.9, 0.4, 0.4, 0.7]
    assert bootstrap_mean_interval(values, seed=3) == bootstrap_mean_interval(values, seed=3)


def test_the_interval_is_close_to_scipys_bca() -> None:
    draw = random.Random(2)
    values = [draw.expovariate(1.0) for _ in range(40)]
    ours = bootstrap_mean_interval(values, seed=1)
    theirs = bootstrap((values,), fmean, vectorized=False, n_resamples=4000, rng=1)
    assert isinstance(ours, Interval)
    assert ours.low == pytest.approx(float(theirs.confidence_interval.low), abs=0.03)
    assert ours.high == pytest.approx(float(theirs.confidence_interval.high), abs=0.03)


def test_the_interval_covers_the_mean_of_skewed_differences() -> None:
    draw = random.Random(9)
    runs, covered = 120, 0
    for run in range(runs):
        values = [float(draw.choices([-1, 0, 2], weights=[20, 60, 20])[0]) for _ in range(60)]
        interval = bootstrap_mean_interval(values, seed=run)
        covered += isinstance(interval, Interval) and 0.2 in interval
    assert covered / runs >= 0.9
