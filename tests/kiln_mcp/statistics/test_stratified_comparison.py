"""Several systems, compared on items that were drawn by strata."""

import random

import pytest

from kiln_mcp.statistics.stratified_comparison import SampledStratum, compare_by_strata


def population(draw: random.Random, shares: tuple[tuple[float, ...], ...]) -> list[list[list[int]]]:
    """Return two strata of 200 items: whether each system is right, with its share in each."""
    return [[[int(draw.random() < p) for p in row] for _ in range(200)] for row in shares]


def sample(
    draw: random.Random, items: list[list[list[int]]], counts: tuple[int, int]
) -> list[SampledStratum]:
    return [
        SampledStratum(900 if n == 0 else 100, draw.sample(own, count))
        for n, (own, count) in enumerate(zip(items, counts, strict=True))
    ]


def test_a_rare_stratum_that_was_drawn_often_counts_by_its_size() -> None:
    common = SampledStratum(900, [[1.0, 0.9]] * 20)
    rare = SampledStratum(100, [[0.0, 1.0]] * 20)
    result = compare_by_strata([common, rare])
    assert result.best == 1
    assert result.means == (pytest.approx(0.9), pytest.approx(0.91))
    assert result.candidates == (0, 1), "a point is not shown by 40 labels"


def test_equal_systems_are_told_apart_in_few_of_many_draws() -> None:
    draw, errors = random.Random(5), 0
    for seed in range(100):
        items = population(draw, ((0.8, 0.8, 0.8, 0.8), (0.5, 0.5, 0.5, 0.5)))
        result = compare_by_strata(sample(draw, items, (30, 30)), seed=seed)
        errors += len(result.candidates) < 4
    assert errors <= 10


def test_a_much_better_system_is_found_and_its_limit_lies_below_its_mean() -> None:
    draw = random.Random(6)
    items = population(draw, ((0.95, 0.6), (0.9, 0.5)))
    result = compare_by_strata(sample(draw, items, (60, 40)))
    assert (result.best, result.candidates) == (0, (0,))
    assert result.low < result.fair_mean <= result.means[0]
    assert result.differences[1][1].high < 0


def test_without_a_sampled_item_there_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="at least one"):
        compare_by_strata([SampledStratum(10, [])])
