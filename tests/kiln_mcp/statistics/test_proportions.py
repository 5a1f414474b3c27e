import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.statistics import (
    Interval,
    jeffreys_interval,
    wilson_interval,
)
from kiln_mcp.statistics.proportions import percentile_interval

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_wilson_gives_the_published_lower_bound_for_ten_of_ten() -> None:
    interval = wilson_interval(10, 10)
    assert interval.low == pytest.approx(0.7225, abs=1e-4)
    assert interval.high == 1.0


def test_wilson_gives_newcombes_published_interval_for_81_of_263() -> None:
    interval = wilson_interval(81, 263)
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)


@given(counts)
def test_intervals_lie_in_the_unit_range_and_hold_the_share(case: tuple[int, int]) -> None:
    successes, total = case
    for interval in (wilson_interval(successes, total), jeffreys_interval(successes, total)):
        assert 0 <= interval.low <= interval.high <= 1
        assert successes / total in interval


@given(counts)
def test_an_interval_of_failures_mirrors_the_one_of_successes(case: tuple[int, int]) -> None:
    successes, total = case
    for make in (wilson_interval, jeffreys_interval):
        straight, mirrored = make(successes, total), make(total - successes, total)
        assert straight.low == pytest.approx(1 - mirrored.high, abs=1e-9)


def test_more_confidence_makes_wider_intervals() -> None:
    assert wilson_interval(7, 20, 0.99).width > wilson_interval(7, 20, 0.8).width


@pytest.mark.parametrize(("successes", "total"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(successes: int, total: int) -> None:
    with pytest.raises(ValueError, match=r"proportion"):
        wilson_interval(successes, total)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_that_is_no_probability_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match=r"level"):
        jeffreys_interval(1, 2, level)


def test_an_interval_cannot_be_upside_down() -> None:
    with pytest.raises(ValueError, match=r"above"):
        Interval(1.0, 0.0)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("total", [12, 60])
def test_intervals_of_one_share_cover_it_about_as_often_as_they_say(
    share: float, total: int
) -> None:
    draw = random.Random(7)
    runs = 400
    for make in (wilson_interval, jeffreys_interval):
        made = {k: make(k, total) for k in range(total + 1)}
        hits = sum(
            share in made[sum(draw.random() < share for _ in range(total))] for _ in range(runs)
        )
        assert hits / runs >= 0.91


def test_an_interval_of_no_draws_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one draw"):
        percentile_interval([])
