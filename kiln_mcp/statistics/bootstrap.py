"""The bootstrap, for means of scores that are not pass or fail."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist, fmean

from kiln_mcp.statistics.interval import CannotTell, Interval, check_level

RESAMPLES = 5_000
_CELLS_AT_ONCE = 2_000_000


def bootstrap_mean_interval(
    values: Sequence[float], level: float = 0.95, seed: int = 0
) -> Interval | CannotTell:
    """Return the bias-corrected and accelerated (BCa) bootstrap interval of a mean.

    For paired scores pass the items' differences. Below about 20 values it covers somewhat less
    than its level. The same seed gives the same interval.

    Returns:
        The interval, or the reason why there is none: fewer than 2 values, or all the same.

    Raises:
        ValueError: The level lies outside (0, 1).

    Source:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 14.3.
    """
    check_level(level)
    if len(values) < 2:
        return CannotTell("an interval of a mean needs at least 2 items")
    if min(values) == max(values):
        return CannotTell(
            f"all {len(values)} items have the same value, so their spread is unknown"
        )
    means = _resampled_means(values, seed)
    mean = fmean(values)
    normal = NormalDist()
    below = sum(m < mean for m in means) + sum(m == mean for m in means) / 2
    bias = normal.inv_cdf(min(max(below / len(means), 1e-6), 1 - 1e-6))
    skew = sum((v - mean) ** 3 for v in values)
    skew /= 6 * sqrt(sum((v - mean) ** 2 for v in values)) ** 3

    def end(share: float) -> float:
        z = bias + normal.inv_cdf(share)
        percentile = normal.cdf(bias + z / (1 - skew * z))
        return means[min(len(means) - 1, max(0, round(percentile * (len(means) - 1))))]

    low, high = end((1 - level) / 2), end((1 + level) / 2)
    return Interval(min(low, high), max(low, high), level)


def _resampled_means(values: Sequence[float], seed: int) -> list[float]:
    import numpy as np  # imported late: slow to import, and pass or fail needs none

    draw = np.random.default_rng(seed)
    data = np.asarray(values, dtype=np.float64)
    rows = max(1, _CELLS_AT_ONCE // len(values))
    means: list[float] = []
    while len(means) < RESAMPLES:
        picks = draw.integers(0, len(values), size=(min(rows, RESAMPLES - len(means)), len(values)))
        means.extend(float(mean) for mean in data[picks].mean(axis=1))
    return sorted(means)
