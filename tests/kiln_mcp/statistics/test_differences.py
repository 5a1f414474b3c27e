import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.statistics import (
    PairedCounts,
    newcombe_interval,
    paired_newcombe_interval,
    post_stratified_difference,
)

tables = st.tuples(*[st.integers(0, 60)] * 4).filter(any).map(lambda cells: PairedCounts(*cells))


def test_the_unpaired_interval_is_newcombes_published_one() -> None:
    interval = newcombe_interval((48, 80), (56, 70))
    assert (interval.low, interval.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_the_paired_interval_is_newcombes_published_one() -> None:
    """Table II of the paper: 36, 12, 2, 0 gives 0.20 from 0.0569 to 0.3404."""
    interval = paired_newcombe_interval(PairedCounts(36, 2, 12, 0))
    assert (interval.low, interval.high) == pytest.approx((0.0569, 0.3404), abs=1e-4)


@given(tables)
def test_a_paired_interval_holds_its_difference_and_stays_in_range(counts: PairedCounts) -> None:
    interval = paired_newcombe_interval(counts)
    assert -1 <= interval.low <= counts.difference <= interval.high <= 1


@given(tables)
def test_exchanging_the_systems_mirrors_the_interval(counts: PairedCounts) -> None:
    swapped = PairedCounts(
        counts.both_pass, counts.only_second, counts.only_first, counts.both_fail
    )
    straight, mirrored = paired_newcombe_interval(counts), paired_newcombe_interval(swapped)
    assert straight.low == pytest.approx(-mirrored.high, abs=1e-12)


def test_verdicts_are_counted_pair_by_pair() -> None:
    counts = PairedCounts.of([True, True, False, False], [True, False, True, False])
    assert counts == PairedCounts(1, 1, 1, 1)
    assert counts.total == 4


def test_verdicts_on_different_items_are_refused() -> None:
    with pytest.raises(ValueError, match=r"argument 2 is (longer|shorter)"):
        PairedCounts.of([True], [True, False])


@pytest.mark.parametrize("total", [20, 80])
def test_the_paired_interval_covers_the_true_difference(total: int) -> None:
    draw = random.Random(5)
    runs, covered = 500, 0
    for _ in range(runs):
        cells = draw.choices(range(4), weights=[60, 8, 20, 12], k=total)
        counts = PairedCounts(*(cells.count(cell) for cell in range(4)))
        covered += 0.12 in paired_newcombe_interval(counts)
    assert covered / runs >= 0.93


def test_a_difference_over_strata_is_weighted_by_their_size() -> None:
    strata = [(9.0, PairedCounts(20, 0, 5, 0)), (1.0, PairedCounts(5, 20, 0, 0))]
    interval = post_stratified_difference(strata)
    assert 0.9 * 0.2 - 0.1 * 0.8 in interval
    assert interval.low > -0.06
    with pytest.raises(ValueError, match=r"at least one stratum"):
        post_stratified_difference([])
