"""Intervals for the difference of two proportions, unpaired and paired."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from kiln_mcp.statistics.interval import Interval
from kiln_mcp.statistics.proportions import wilson_interval


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Counts of two systems' verdicts on the same items.

    Attributes:
        both_pass: Items that both passed.
        only_first: Items that only the first passed.
        only_second: Items that only the second passed.
        both_fail: Items that both failed.
    """

    both_pass: int
    only_first: int
    only_second: int
    both_fail: int

    @classmethod
    def of(cls, first: Sequence[bool], second: Sequence[bool]) -> "PairedCounts":
        """Count two systems' verdicts on the same items, in the same order.

        Raises:
            ValueError: The sequences differ in length.
        """
        pairs = list(zip(first, second, strict=True))
        return cls(
            both_pass=pairs.count((True, True)),
            only_first=pairs.count((True, False)),
            only_second=pairs.count((False, True)),
            both_fail=pairs.count((False, False)),
        )

    @property
    def total(self) -> int:
        """Return the number of items."""
        return self.both_pass + self.only_first + self.only_second + self.both_fail

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
    first_interval = wilson_interval(*first, level)
    second_interval = wilson_interval(*second, level)
    first_share, second_share = first[0] / first[1], second[0] / second[1]
    difference = second_share - first_share
    down = sqrt(
        (second_share - second_interval.low) ** 2 + (first_interval.high - first_share) ** 2
    )
    up = sqrt((second_interval.high - second_share) ** 2 + (first_share - first_interval.low) ** 2)
    return Interval(max(-1.0, difference - down), min(1.0, difference + up), level)


def paired_newcombe_interval(counts: PairedCounts, level: float = 0.95) -> Interval:
    """Return the interval of the second pass rate less the first, on the same items.

    The two Wilson intervals are combined by the method of variance estimates recovery
    (MOVER), with the items' own correlation.

    Raises:
        ValueError: There is no item.

    Source:
        Newcombe (1998), Improved Confidence Intervals for the Difference Between Binomial
        Proportions Based on Paired Data, method 10.
    """
    total = counts.total
    first_passes, second_passes = (
        counts.both_pass + counts.only_first,
        counts.both_pass + counts.only_second,
    )
    first_interval = wilson_interval(first_passes, total, level)
    second_interval = wilson_interval(second_passes, total, level)
    first_share, second_share = first_passes / total, second_passes / total
    phi = _phi(counts)
    second_down, second_up = second_share - second_interval.low, second_interval.high - second_share
    first_down, first_up = first_share - first_interval.low, first_interval.high - first_share
    down = sqrt(max(0.0, second_down**2 - 2 * phi * second_down * first_up + first_up**2))
    up = sqrt(max(0.0, second_up**2 - 2 * phi * second_up * first_down + first_down**2))
    difference = counts.difference
    return Interval(max(-1.0, difference - down), min(1.0, difference + up), level)


def _phi(counts: PairedCounts) -> float:
    """Return the correlation that method 10 uses: positive products get a continuity correction."""
    total = counts.total
    first_passes, second_passes = (
        counts.both_pass + counts.only_first,
        counts.both_pass + counts.only_second,
    )
    margins = first_passes * (total - first_passes) * second_passes * (total - second_passes)
    if margins == 0:
        return 0.0
    product = counts.both_pass * counts.both_fail - counts.only_first * counts.only_second
    if product > 0:
        product = max(product - total / 2, 0)
    return product / sqrt(margins)
