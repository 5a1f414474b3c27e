"""Intervals for the difference of two proportions, unpaired and paired."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from kiln_mcp.statistics.interval import Interval
from kiln_mcp.statistics.proportions import (
    POSTERIOR_DRAWS,
    percentile_interval,
    wilson_interval,
)


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """How two systems did on the same items.

    Attributes:
        both: Items that both passed.
        only_first: Items that only the first passed.
        only_second: Items that only the second passed.
        neither: Items that both failed.
    """

    both: int
    only_first: int
    only_second: int
    neither: int

    @classmethod
    def of(cls, first: Sequence[bool], second: Sequence[bool]) -> "PairedCounts":
        """Count two systems' verdicts on the same items, in the same order.

        Raises:
            ValueError: The sequences differ in length.
        """
        pairs = list(zip(first, second, strict=True))
        return cls(
            both=pairs.count((True, True)),
            only_first=pairs.count((True, False)),
            only_second=pairs.count((False, True)),
            neither=pairs.count((False, False)),
        )

    @property
    def total(self) -> int:
        """Return the number of items."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def difference(self) -> float:
        """Return the second's pass rate less the first's, in [-1, 1].

        Raises:
            ZeroDivisionError: There is no item.
        """
        return (self.only_second - self.only_first) / self.total


def newcombe_interval(
    first: tuple[int, int], second: tuple[int, int], level: float = 0.95
) -> Interval:
    """Return the interval of the second proportion less the first, for unrelated items.

    Args:
        first: Successes and total of the first system.
        second: Successes and total of the second system.
        level: Nominal coverage.

    Raises:
        ValueError: A count is impossible or a total is 0.

    Source:
        Newcombe (1998), Interval Estimation for the Difference Between Independent Proportions,
        method 10.
    """
    one, two = wilson_interval(*first, level), wilson_interval(*second, level)
    share_one, share_two = first[0] / first[1], second[0] / second[1]
    difference = share_two - share_one
    down = sqrt((share_two - two.low) ** 2 + (one.high - share_one) ** 2)
    up = sqrt((two.high - share_two) ** 2 + (share_one - one.low) ** 2)
    return Interval(max(-1.0, difference - down), min(1.0, difference + up), level)


def paired_newcombe_interval(counts: PairedCounts, level: float = 0.95) -> Interval:
    """Return the interval of the second pass rate less the first, on the same items.

    The two Wilson intervals are put together by the method of variance estimates recovery
    (MOVER), with the items' own correlation.

    Raises:
        ValueError: There is no item.

    Source:
        Newcombe (1998), Improved Confidence Intervals for the Difference Between Binomial
        Proportions Based on Paired Data, method 10.
    """
    total = counts.total
    passed_one, passed_two = counts.both + counts.only_first, counts.both + counts.only_second
    one, two = wilson_interval(passed_one, total, level), wilson_interval(passed_two, total, level)
    share_one, share_two = passed_one / total, passed_two / total
    phi = _phi(counts)
    low_two, up_two = share_two - two.low, two.high - share_two
    low_one, up_one = share_one - one.low, one.high - share_one
    down = sqrt(max(0.0, low_two**2 - 2 * phi * low_two * up_one + up_one**2))
    up = sqrt(max(0.0, up_two**2 - 2 * phi * up_two * low_one + low_one**2))
    difference = counts.difference
    return Interval(max(-1.0, difference - down), min(1.0, difference + up), level)


def post_stratified_difference(
    strata: Sequence[tuple[float, PairedCounts]], level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the interval of a paired difference in a population that was labelled by strata.

    Args:
        strata: The weight of each stratum, and how the two did on its labelled items.
        level: Nominal coverage.
        seed: Of the draws from the strata's Dirichlet posteriors (Jeffreys' prior).

    Raises:
        ValueError: There is no stratum.
    """
    if not strata:
        raise ValueError("A stratified difference needs at least one stratum.")
    weight = sum(size for size, _ in strata)
    draw = random.Random(seed)
    differences: list[float] = []
    for _ in range(POSTERIOR_DRAWS):
        difference = 0.0
        for size, counts in strata:
            first = draw.gammavariate(counts.only_first + 0.5, 1.0)
            second = draw.gammavariate(counts.only_second + 0.5, 1.0)
            same = draw.gammavariate(counts.both + counts.neither + 0.5, 1.0)
            difference += size / weight * (second - first) / (first + second + same)
        differences.append(difference)
    return percentile_interval(sorted(differences), level)


def _phi(counts: PairedCounts) -> float:
    """Return the correlation that method 10 uses: positive products get a continuity correction."""
    total = counts.total
    passed_one, passed_two = counts.both + counts.only_first, counts.both + counts.only_second
    margins = passed_one * (total - passed_one) * passed_two * (total - passed_two)
    if margins == 0:
        return 0.0
    product = counts.both * counts.neither - counts.only_first * counts.only_second
    if product > 0:
        product = max(product - total / 2, 0)
    return product / sqrt(margins)
