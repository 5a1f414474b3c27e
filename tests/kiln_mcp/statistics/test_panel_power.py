from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.statistics.panel_power import (
    GOAL,
    PanelSize,
    detection_power,
    items_needed,
    power_sentence,
    repeats_needed,
    split_excess,
)

SMALL = PanelSize(items=24, readings=4, repeats=2)


@pytest.mark.parametrize(("flips", "found"), [(0.02, 1.0), (0.1, 1.0), (0.15, 0.88), (0.2, 0.4)])
def test_the_forecast_is_near_what_simulated_panels_find(flips: float, found: float) -> None:
    """100 panels of two groups that differ on 30 % of outputs, benchmarks/specs/simulation.py."""
    assert detection_power(SMALL, split_excess(4, 0.3, flips), flips) == pytest.approx(
        found, abs=0.12
    )


@given(st.floats(0.02, 0.3), st.integers(10, 200), st.integers(2, 8), st.integers(2, 6))
def test_more_repeats_outputs_or_fewer_clauses_never_find_less(
    flips: float, items: int, readings: int, repeats: int
) -> None:
    size = PanelSize(items, readings, repeats, clauses=2)
    excess = split_excess(readings, 0.3, flips)
    power = detection_power(size, excess, flips)
    for larger in (
        replace(size, items=items + 1),
        replace(size, repeats=repeats + 1),
        replace(size, clauses=1),
    ):
        assert detection_power(larger, excess, flips) >= power


@given(st.floats(0.02, 0.35), st.floats(0.05, 0.5))
def test_the_needed_repeats_and_outputs_reach_the_goal_and_one_less_does_not(
    flips: float, split: float
) -> None:
    excess = split_excess(4, split, flips)
    repeats = repeats_needed(SMALL, excess, flips)
    if repeats is not None:
        assert detection_power(replace(SMALL, repeats=repeats), excess, flips) >= GOAL
        fewer = replace(SMALL, repeats=max(2, repeats - 1))
        assert repeats == 2 or detection_power(fewer, excess, flips) < GOAL
    items = items_needed(SMALL, excess, flips)
    assert detection_power(replace(SMALL, items=items), excess, flips) >= GOAL - 1e-9


def test_the_plan_says_how_often_a_split_clause_is_found_or_that_none_can_be() -> None:
    assert "is found in 99% of such panels" in power_sentence(SMALL)
    assert "cannot show" in power_sentence(replace(SMALL, repeats=1))
    assert "cannot show" in power_sentence(replace(SMALL, readings=1))
