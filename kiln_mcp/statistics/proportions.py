"""Intervals for one proportion: Wilson, Jeffreys, and Jeffreys over strata."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from kiln_mcp.statistics.interval import Interval, check_level

POSTERIOR_DRAWS = 8_000


@dataclass(frozen=True, slots=True)
class Stratum:
    """The labelled part of one stratum of a population.

    Attributes:
        weight: The stratum's size in the population, in any unit, above 0.
        successes: Labelled items that count as a success.
        total: Labelled items.
    """

    weight: float
    successes: int
    total: int


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


def post_stratified_estimate(strata: Sequence[Stratum]) -> float:
    """Return the population's share of successes, each stratum weighted by its size.

    A stratum without a labelled item counts as one half, the mean of its prior.

    Raises:
        ValueError: There is no stratum, or one's counts or weight are impossible.
    """
    _check_strata(strata)
    weight = sum(stratum.weight for stratum in strata)
    return sum(s.weight * (s.successes / s.total if s.total else 0.5) for s in strata) / weight


def post_stratified_interval(
    strata: Sequence[Stratum], level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the equal-tailed interval of a share, from the labels of each stratum.

    Every stratum's share has the Jeffreys posterior of its labels. The interval is read from draws
    of the weighted sum, so the same seed gives the same interval. Unlike a normal approximation it
    keeps its coverage if a stratum has only few labels.

    Raises:
        ValueError: There is no stratum, or one's counts, weight or the level are impossible.
    """
    _check_strata(strata)
    check_level(level)
    if len(strata) == 1:
        return jeffreys_interval(strata[0].successes, strata[0].total, level)
    weight = sum(stratum.weight for stratum in strata)
    draw = random.Random(seed)
    shares = sorted(
        sum(
            s.weight * draw.betavariate(s.successes + 0.5, s.total - s.successes + 0.5)
            for s in strata
        )
        / weight
        for _ in range(POSTERIOR_DRAWS)
    )
    everything = all(stratum.successes == stratum.total for stratum in strata)
    nothing = all(stratum.successes == 0 for stratum in strata)
    interval = percentile_interval(shares, level)
    return Interval(0.0 if nothing else interval.low, 1.0 if everything else interval.high, level)


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


def _check_strata(strata: Sequence[Stratum]) -> None:
    if not strata:
        message = "A stratified estimate needs at least one stratum."
        raise ValueError(message)
    for stratum in strata:
        _check_counts(stratum.successes, stratum.total)
        if stratum.weight <= 0:
            message = f"A stratum's weight is above 0, not {stratum.weight}."
            raise ValueError(message)
