"""Comparisons of many items, whose resamples are not drawn one item at a time."""

import random
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kiln_mcp.statistics import ScoreColumns, best_mean, best_systems, differences_from
from kiln_mcp.statistics.mean_deviations import MOST_ITEMS_ONE_BY_ONE, Columns, mean_deviations
from kiln_mcp.statistics.sign_flips import sign_flip_p_values

if TYPE_CHECKING:
    from kiln_mcp.statistics.mean_deviations import Numbers

ITEMS = 1_500
DRAWS = 4_000
SEEDS = 100

assert ITEMS > MOST_ITEMS_ONE_BY_ONE


def table_of(values: "Numbers", present: "Numbers | None" = None) -> ScoreColumns:
    present = np.ones_like(values) if present is None else present
    items = tuple(f"item {number:05}" for number in range(len(values)))
    return ScoreColumns(items, values * present, present, 0.0, 1.0)


def scores(kind: str, systems: int, seed: int, items: int = ITEMS) -> ScoreColumns:
    """Return equal systems of which items move the scores together.

    Args:
        kind: "pass" for pass and fail, "share" for scores between, "gaps" for those with gaps,
            "alike" for systems that pass nearly all items and differ on few.
        systems: How many.
        seed: Of the scores.
        items: How many.
    """
    draw = np.random.default_rng(seed)
    chances = draw.beta(6, 2, size=(items, 1))
    if kind == "alike":
        return table_of((draw.random((items, systems)) < 0.995).astype(float))
    if kind == "pass":
        return table_of((draw.random((items, systems)) < chances).astype(float))
    values = draw.beta(8 * chances + 0.1, 8.1 - 8 * chances, size=(items, systems))
    if kind == "share":
        return table_of(values)
    return table_of(values, (draw.random((items, systems)) < 0.9).astype(float))


def resampled_deviations(columns: Columns, seed: int) -> "Numbers":
    """Return deviations of means in resamples of the items, drawn one by one."""
    draw = np.random.default_rng(seed)
    rows: list[Numbers] = []
    for _ in range(DRAWS):
        picks = draw.integers(0, len(columns.values), size=len(columns.values))
        taken = Columns(columns.values[picks], columns.present[picks])
        rows.append(taken.means - columns.means)
    return np.array(rows)


@pytest.mark.parametrize(("kind", "systems"), [("pass", 3), ("share", 3), ("gaps", 3)])
def test_means_of_many_items_deviate_as_in_resamples_of_the_items(kind: str, systems: int) -> None:
    table = scores(kind, systems, seed=1)
    columns = Columns(table.values, table.present)
    drawn = np.concatenate(list(mean_deviations(columns, DRAWS, seed=2)))
    expected = resampled_deviations(columns, seed=3)
    assert drawn.shape == expected.shape
    assert np.allclose(drawn.std(axis=0), expected.std(axis=0), rtol=0.06)
    assert np.allclose(np.corrcoef(drawn.T), np.corrcoef(expected.T), atol=0.06)
    largest = [np.quantile(np.abs(part).max(axis=1), 0.95) for part in (drawn, expected)]
    assert largest[0] == pytest.approx(largest[1], rel=0.05)


def test_the_same_seed_gives_the_same_deviations_of_many_items() -> None:
    for kind in ("pass", "share"):
        table = scores(kind, 3, seed=4)
        columns = Columns(table.values, table.present)
        first, second = (np.concatenate(list(mean_deviations(columns, 50, 7))) for _ in range(2))
        assert (first == second).all()


def test_rows_that_differ_only_far_down_are_still_counted_as_different() -> None:
    values = np.zeros((6_000, 1))
    values[3_000:, 0] = np.random.default_rng(0).random(3_000)
    drawn = np.concatenate(list(mean_deviations(Columns(values, np.ones_like(values)), DRAWS, 1)))
    assert drawn.std() == pytest.approx(values.std() / 6_000**0.5, rel=0.06)


def test_systems_with_the_same_scores_on_many_items_do_not_differ() -> None:
    column = np.random.default_rng(5).random((ITEMS, 1))
    best = best_systems(table_of(np.hstack([column, column, column])))
    assert best.candidates == (0, 1, 2)
    assert all(not difference.is_shown for difference in best.differences)


def test_columns_that_never_change_do_not_deviate() -> None:
    values = np.hstack([np.ones((ITEMS, 1)), np.zeros((ITEMS, 1))])
    for part in mean_deviations(Columns(values, np.ones_like(values)), 10, seed=0):
        assert np.abs(part).max() < 1e-12


def test_flips_of_many_items_give_the_p_value_of_their_normal_sum() -> None:
    draw = np.random.default_rng(6)
    column = draw.normal(0.04, 1, size=900)
    flipped = sign_flip_p_values(column[:, None])[0]
    padded = np.concatenate([column, np.zeros(600)])
    assert sign_flip_p_values(padded[:, None])[0] == pytest.approx(flipped, abs=0.02)


def test_few_items_that_carry_a_difference_of_many_are_flipped() -> None:
    column = np.zeros((ITEMS, 2))
    column[:5, 0] = 1.0
    p_values = sign_flip_p_values(column)
    assert p_values[0] == pytest.approx(2 * 0.5**5, abs=0.01)
    assert p_values[1] == 1.0


def test_comparing_ten_thousand_items_needs_little_memory() -> None:
    for kind in ("pass", "share"):
        table = scores(kind, 2, seed=8, items=10_000)
        tracemalloc.start()
        differences_from(table, 0)
        best_systems(table)
        best_mean(table)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20_000_000, kind


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "systems"), [("pass", 3), ("pass", 20), ("share", 20), ("gaps", 8), ("alike", 20)]
)
def test_equal_systems_of_many_items_are_rarely_told_apart(kind: str, systems: int) -> None:
    told_apart = against_baseline = 0
    for seed in range(SEEDS):
        table = scores(kind, systems, seed)
        told_apart += len(best_systems(table).candidates) < systems
        against_baseline += any(d.is_shown for d in differences_from(table, 0))
    bound = 0.05 * SEEDS + 2 * (0.05 * 0.95 * SEEDS) ** 0.5
    assert told_apart <= bound
    assert against_baseline <= bound


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["share", "alike"])
def test_the_lower_limit_of_the_best_of_many_items_holds(kind: str) -> None:
    held = 0
    for seed in range(SEEDS):
        table = scores(kind, 8, seed)
        truth = 0.995 if kind == "alike" else scores(kind, 1, seed + 10_000, 20_000).means[0]
        held += best_mean(table, seed=random.Random(seed).randrange(1_000)).low <= truth
    assert held >= 0.92 * SEEDS
