"""The classifier two-sample test keeps its level, and its interval covers."""

from statistics import fmean

import numpy as np
import pytest

from kiln_mcp.statistics import CannotTell, TwoSampleTest, two_sample_test


def result_of(count: int, shift: float, seed: int) -> TwoSampleTest:
    random = np.random.default_rng(seed)
    rows = np.abs(random.normal(size=(2 * count, 50)))
    rows[count:, :10] += shift
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    result = two_sample_test(rows @ rows.T, count, seed)
    assert isinstance(result, TwoSampleTest)
    return result


def test_alike_samples_are_told_apart_as_often_as_the_level_says() -> None:
    results = [result_of(20, 0.0, seed) for seed in range(120)]
    assert fmean(result.p_value <= 0.05 for result in results) <= 0.1
    assert fmean(0.5 in result.interval for result in results) >= 0.88


def test_different_samples_are_told_apart() -> None:
    result = result_of(60, 0.8, 1)
    assert result.p_value == 0.005
    assert result.interval.low > 0.5
    assert result.interval.low < result.accuracy < result.interval.high
    assert result.items == 60


def test_a_seed_repeats_its_test() -> None:
    assert result_of(20, 0.3, 4) == result_of(20, 0.3, 4)


def test_equal_items_cannot_be_told_apart() -> None:
    result = two_sample_test(np.ones((40, 40)), 20)
    assert isinstance(result, TwoSampleTest)
    assert (result.accuracy, result.p_value) == (0.5, 1.0)


@pytest.mark.parametrize("count", [0, 19])
def test_too_few_items_tell_nothing(count: int) -> None:
    result = two_sample_test(np.eye(2 * count), count)
    assert isinstance(result, CannotTell)
    assert f"{count} items of each sample" in result.reason
