"""Intervals for one proportion: Wilson and Jeffreys."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

from kiln_mcp.statistics.interval import Interval, check_level


def wilson_interval(successes: int, total: int, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion, within [0, 1].

    Raises:
        ValueError: `total` is below 1, or `successes` lies outside 0…total.

    Source:
        Wilson (1927), Probable Inference, the Law of Succession, and Statistical Inference.
    """
    _check_counts(successes, total)
    if total == 0:
        message = "A proportion needs at least one item."
        raise ValueError(message)
    return score_interval(successes / total, total, level)


def score_interval(share: float, total: float, level: float = 0.95) -> Interval:
    """Return Wilson's score interval of a share of so many items, which may be no whole number.

    Raises:
        ValueError: The level lies outside (0, 1).
    """
    check_level(level)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    half /= 1 + z * z / total
    low = 0.0 if share == 0 else max(0.0, centre - half)
    high = 1.0 if share == 1 else min(1.0, centre + half)
    return Interval(low, high, level)


def jeffreys_interval(successes: int, total: int, level: float = 0.95) -> Interval:
    """Return the equal-tailed Jeffreys interval of a proportion, within [0, 1].

    The low end is 0 if nothing succeeded, and the high end 1 if everything did. Without items it
    is [0, 1].

    Raises:
        ValueError: `successes` lies outside 0…total, or the level outside (0, 1).

    Source:
        Brown, Cai and DasGupta (2001), Interval Estimation for a Binomial Proportion, section 4.
    """
    _check_counts(successes, total)
    check_level(level)
    from scipy.special import betaincinv  # imported late: costs a tenth of a second

    alpha, beta, tail = successes + 0.5, total - successes + 0.5, (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(alpha, beta, tail))
    high = 1.0 if successes == total else float(betaincinv(alpha, beta, 1 - tail))
    return Interval(low, high, level)


def percentile_interval(draws: Sequence[float], level: float = 0.95) -> Interval:
    """Return the middle part of ascending draws that holds the share `level` of them.

    Raises:
        ValueError: There is no draw.
    """
    if not draws:
        message = "An interval needs at least one draw."
        raise ValueError(message)
    last = len(draws) - 1
    tail = (1 - level) / 2
    return Interval(draws[round(last * tail)], draws[round(last * (1 - tail))], level)


def _check_counts(successes: int, total: int) -> None:
    if total < 0 or not 0 <= successes <= total:
        message = f"{successes} of {total} is no proportion."
        raise ValueError(message)
