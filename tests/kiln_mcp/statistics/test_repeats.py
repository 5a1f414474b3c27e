"""Rates and variances of repeated outputs, against populations whose true values are set."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiln_mcp.statistics import (
    CannotTell,
    Interval,
    clustered_rate_interval,
    pass_all_rate,
    pass_any_rate,
    variance_components,
    wilson_interval,
)

LEAST_COVERAGE = 0.93
WORLDS = 400


def worlds(items: int, outputs: int, alpha: float, beta: float) -> Iterator[list[int]]:
    """Yield passes by item, from items whose pass rates follow a beta distribution."""
    draw = np.random.default_rng(7)
    for _ in range(WORLDS):
        yield draw.binomial(outputs, draw.beta(alpha, beta, items)).tolist()


def covers(interval: Interval | CannotTell, value: float) -> bool:
    return isinstance(interval, Interval) and value in interval


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (2.0, 2.0), (9.0, 1.0)])
@pytest.mark.parametrize("items", [12, 60])
def test_intervals_cover_the_true_rates_where_outputs_of_an_item_are_alike(
    items: int, alpha: float, beta: float
) -> None:
    draw = np.random.default_rng(1)
    rates, size = draw.beta(alpha, beta, 400_000), 4
    truth = rates.mean(), (rates**size).mean(), 1 - ((1 - rates) ** size).mean()
    hits = np.zeros(3)
    for passes in worlds(items, size, alpha, beta):
        means = [count / size for count in passes]
        hits += [
            covers(clustered_rate_interval(means, items * size), truth[0]),
            covers(
                clustered_rate_interval([pass_all_rate(c, size, size) for c in passes], items),
                truth[1],
            ),
            covers(
                clustered_rate_interval([pass_any_rate(c, size, size) for c in passes], items),
                truth[2],
            ),
        ]
    assert hits[0] / WORLDS >= LEAST_COVERAGE
    assert hits[1:].min() / WORLDS >= LEAST_COVERAGE - 0.05  # Wilson's own near 0 and 1


def test_outputs_that_count_as_items_would_not_cover() -> None:
    items, size = 30, 5
    hits = sum(
        0.5 in wilson_interval(sum(passes), items * size)
        for passes in worlds(items, size, 0.5, 0.5)
    )
    assert hits / WORLDS < 0.85


def test_equal_outputs_give_the_interval_of_single_ones() -> None:
    rates = [1.0] * 13 + [0.0] * 7
    assert clustered_rate_interval(rates, 100) == wilson_interval(13, 20)


def test_one_item_that_passes_sometimes_has_no_interval() -> None:
    assert isinstance(clustered_rate_interval([0.5], 2), CannotTell)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.integers(1, 6))
def test_an_interval_lies_within_0_and_1_and_holds_the_mean(rates: list[float], size: int) -> None:
    interval = clustered_rate_interval(rates, len(rates) * size)
    assert isinstance(interval, Interval)
    assert 0 <= interval.low <= sum(rates) / len(rates) + 1e-9
    assert sum(rates) / len(rates) - 1e-9 <= interval.high <= 1


@given(st.data(), st.integers(1, 8))
def test_rates_of_fewer_outputs_are_means_over_all_choices_of_them(
    data: st.DataObject, outputs: int
) -> None:
    passes, size = data.draw(st.integers(0, outputs)), data.draw(st.integers(1, outputs))
    everything, anything = (
        pass_all_rate(passes, outputs, size),
        pass_any_rate(passes, outputs, size),
    )
    assert 0 <= everything <= passes / outputs + 1e-12
    assert passes / outputs - 1e-12 <= anything <= 1
    assert pass_all_rate(outputs - passes, outputs, size) == pytest.approx(1 - anything)
    if size == outputs:
        assert (everything, anything) == (passes == outputs, passes > 0)


def scores(
    seed: int, item: float, sampling: float, judge: float, sizes: list[list[int]]
) -> list[list[list[float]]]:
    """Draw scores of items whose outputs have so many verdicts, with these standard deviations."""
    draw = np.random.default_rng(seed)
    return [
        [
            (effect + draw.normal(0, sampling) + draw.normal(0, judge, size)).tolist()
            for size in outputs
        ]
        for outputs, effect in zip(sizes, draw.normal(0, item, len(sizes)), strict=True)
    ]


@pytest.mark.parametrize(
    "sizes",
    [
        [[3, 3, 3]] * 20,
        [[1, 2, 3], [2], [4, 1], [1], [2, 2]] * 5,
        [[2] * 5, [1], [3] * 2] * 8,
    ],
    ids=["balanced", "unequal", "few outputs"],
)
@pytest.mark.parametrize("deviations", [(2.0, 1.0, 0.5), (0.5, 1.0, 2.0), (1.0, 0.2, 0.1)])
def test_the_parts_of_the_variance_are_estimated_without_bias(
    sizes: list[list[int]], deviations: tuple[float, float, float]
) -> None:
    estimates = np.array(
        [
            [parts.item, parts.sampling, parts.judge, parts.total]
            for seed in range(300)
            for parts in [variance_components(scores(seed, *deviations, sizes))]
        ],
        dtype=float,
    )
    truth = np.array([d * d for d in deviations])
    error = estimates.std(axis=0) / np.sqrt(len(estimates))
    expected = np.append(truth, truth.sum())
    # What is cut off at 0 makes small parts larger, and the total with them.
    cut = (estimates == 0).mean(axis=0) > 0.01
    cut[3] = cut.any()
    room = 4 * error + np.where(cut, expected, 0)
    assert (np.abs(estimates.mean(axis=0) - expected) < room).all()


def test_sampling_and_judge_go_together_where_outputs_have_one_verdict() -> None:
    estimates = [
        variance_components(scores(seed, 1.0, 1.0, 1.0, [[1, 1, 1]] * 30)) for seed in range(200)
    ]
    assert all(isinstance(parts.sampling, CannotTell) for parts in estimates)
    assert all(isinstance(parts.judge, CannotTell) for parts in estimates)
    both = [parts.sampling_and_judge for parts in estimates]
    items = [parts.item for parts in estimates]
    assert np.mean(np.array(both, dtype=float)) == pytest.approx(2.0, abs=0.1)
    assert np.mean(np.array(items, dtype=float)) == pytest.approx(1.0, abs=0.1)


def test_items_and_sampling_go_together_where_items_have_one_output() -> None:
    estimates = [
        variance_components(scores(seed, 1.0, 1.0, 1.0, [[3]] * 30)) for seed in range(200)
    ]
    assert all(isinstance(parts.item, CannotTell) for parts in estimates)
    both = np.array([parts.item_and_sampling for parts in estimates], dtype=float)
    judge = np.array([parts.judge for parts in estimates], dtype=float)
    assert both.mean() == pytest.approx(2.0, abs=0.15)
    assert judge.mean() == pytest.approx(1.0, abs=0.05)


def test_a_check_has_no_noise_of_its_own() -> None:
    parts = variance_components([[[1.0], [0.0]], [[1.0], [1.0]], [[0.0], [0.0]]], is_exact=True)
    assert (parts.judge, parts.sampling) == (0.0, pytest.approx(1 / 6))


def test_single_verdicts_of_single_outputs_tell_the_total_alone() -> None:
    parts = variance_components([[[1.0]], [[0.0]], [[1.0]], [[1.0]]])
    assert parts.total == pytest.approx(0.25)
    assert isinstance(parts.item, CannotTell)
    assert isinstance(parts.item_and_sampling, CannotTell)


def test_one_item_cannot_tell_how_items_differ() -> None:
    parts = variance_components([[[1.0, 0.0], [1.0, 1.0]]])
    assert isinstance(parts.item, CannotTell)
    assert isinstance(parts.total, CannotTell)
    assert parts.judge == pytest.approx(0.25)


@pytest.mark.parametrize("items", list[list[list[list[float]]]]([[], [[]], [[[]]]]))
def test_items_without_verdicts_are_refused(items: list[list[list[float]]]) -> None:
    with pytest.raises(ValueError, match="needs an output"):
        variance_components(items)
