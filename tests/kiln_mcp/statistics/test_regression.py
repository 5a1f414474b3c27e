"""Linear regression with robust intervals."""

import random

import pytest

from kiln_mcp.statistics import CannotTell
from kiln_mcp.statistics.regression import slopes


def test_a_slope_is_the_one_that_made_the_data() -> None:
    draw = random.Random(1)
    lengths = [draw.uniform(5, 10) for _ in range(200)]
    own = [float(draw.random() < 0.5) for _ in range(200)]
    outcome = [0.1 * x + 0.3 * y + draw.gauss(0, 0.2) for x, y in zip(lengths, own, strict=True)]
    result = slopes([lengths, own], outcome)
    assert not isinstance(result, CannotTell)
    assert 0.1 in result[0].interval
    assert 0.3 in result[1].interval
    assert result[1].interval.width < 0.2


def test_without_an_effect_the_interval_leaves_out_zero_in_about_one_of_twenty_cases() -> None:
    draw, misses = random.Random(2), 0
    for _ in range(300):
        lengths = [draw.uniform(5, 10) for _ in range(40)]
        # The spread grows with the length, which classical intervals do not bear.
        outcome = [draw.gauss(0, 0.05 * x) for x in lengths]
        result = slopes([lengths], outcome)
        assert not isinstance(result, CannotTell)
        misses += 0 not in result[0].interval
    assert misses <= 27


def test_a_variable_that_does_not_vary_has_no_slope() -> None:
    assert isinstance(slopes([[1.0] * 10], [float(n) for n in range(10)]), CannotTell)
    assert isinstance(slopes([[1.0, 2.0]], [0.0, 1.0]), CannotTell)


def test_variables_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        slopes([[1.0]], [0.0, 1.0])
