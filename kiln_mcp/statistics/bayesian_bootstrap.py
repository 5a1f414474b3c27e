"""Intervals of means of scores that are not pass or fail, by the Bayesian bootstrap."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.statistics.interval import CannotTell, Interval, check_level

DRAWS: Final = 4_000
_PRIOR_WEIGHT: Final = 0.5
_CELLS_AT_ONCE: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The least and the highest value that a score, or a difference, can have."""

    low: float
    high: float

    @property
    def prior_items(self) -> tuple[float, float]:
        """Return the two items that stand for what has not been seen."""
        centre, quarter = (self.low + self.high) / 2, (self.high - self.low) / 4
        return centre - quarter, centre + quarter

    @property
    def of_differences(self) -> "ValueRange":
        """Return the range of the difference of two such scores."""
        return ValueRange(self.low - self.high, self.high - self.low)


def bayesian_mean_interval(
    values: Sequence[float],
    value_range: ValueRange | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Interval | CannotTell:
    """Return the interval of a mean; for paired scores pass the items' differences.

    Each distinct value has a weight from a Dirichlet distribution of its count. Two prior items of
    weight ½ lie a quarter of the range beside its centre, so that a few equal values do not give
    an interval without width.

    Args:
        values: The values, at least one.
        value_range: What they can be; None if only the values tell it, such as seconds.
        level: Nominal coverage.
        seed: The same seed gives the same interval.

    Returns:
        The interval, or the reason why there is none: no values, or neither range nor spread.

    Raises:
        ValueError: The level lies outside (0, 1).

    Source:
        Rubin (1981), The Bayesian Bootstrap.
    """
    check_level(level)
    if not values:
        return CannotTell("an interval of a mean needs at least 1 item")
    span = value_range or ValueRange(min(values), max(values))
    if span.low == span.high:
        return CannotTell(
            f"all {len(values)} items have the same value, so their spread is unknown"
        )
    import numpy as np

    counts: Counter[float] = Counter(values)
    weights = [*map(float, counts.values()), _PRIOR_WEIGHT, _PRIOR_WEIGHT]
    points = np.asarray([*counts, *span.prior_items])
    draw = np.random.default_rng(seed)
    rows = max(1, _CELLS_AT_ONCE // len(points))
    means: list[float] = []
    while len(means) < DRAWS:
        shares = draw.standard_gamma(weights, (min(rows, DRAWS - len(means)), len(points)))
        means.extend((shares @ points / shares.sum(axis=1)).tolist())
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level)
