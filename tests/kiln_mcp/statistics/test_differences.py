import pytest
from hypothesis import strategies as st

from kiln_mcp.statistics import (
    PairedCounts,
    newcombe_interval,
    paired_newcombe_interval,
)

tables = st.tuples(*[st.integers(0, 60)] * 4).filter(any).map(lambda cells: PairedCounts(*cells))


def test_the_unpaired_interval_is_newcombes_published_one() -> None:
    interval = newcombe_interval((48, 80), (56, 70))
    assert (interval.low, interval.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_the_paired_interval_is_newcombes_published_one() -> None:
    """Table II of the paper: 36, 12, 2, 0 gives 0.20 from 0.0569 to 0.3404."""
    interval = paired_newcombe_interval(PairedCounts(36, 2, 12, 0))
    assert (interval.low, interval.high) == pytest.approx((0.0569, 0.3404), abs=1e-4)
