"""Rates of the slices of one population: shrunken to the whole, and tested with Holm's correction.

The worst of many slices looks worse than it is. Shrinking takes away what chance alone gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma

_TIE = 1 + 1e-7
"""Tables that are as probable as the observed one, but for rounding, count."""


@dataclass(frozen=True, slots=True)
class SliceCounts:
    """Failures among the items of one slice."""

    failures: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.failures <= self.count or not self.count:
            message = f"{self.failures} of {self.count} is no share."
            raise ValueError(message)


def shrunken_rates(slices: Sequence[SliceCounts]) -> list[float]:
    """Return the rate of each slice, drawn to that of all as far as their spread is chance.

    Raises:
        ValueError: A slice has no item.

    Source:
        Kleinman (1973), Proportions with Extraneous Variance: the beta-binomial by moments.
    """
    total = sum(entry.count for entry in slices)
    if not total:
        return []
    mean = sum(entry.failures for entry in slices) / total
    if len(slices) < 2 or mean in (0, 1):
        return [mean] * len(slices)
    spread = sum(e.count * (e.failures / e.count - mean) ** 2 for e in slices)
    by_chance = (len(slices) - 1) * mean * (1 - mean)
    scale = total - sum(e.count**2 for e in slices) / total
    variance = max(0.0, (spread - by_chance) / scale)
    if not variance:
        return [mean] * len(slices)
    strength = max(0.0, mean * (1 - mean) / variance - 1)
    return [(e.failures + strength * mean) / (e.count + strength) for e in slices]


def fisher_exact(first: SliceCounts, second: SliceCounts) -> float:
    """Return the two-sided p-value of "both have the same rate".

    Source:
        Fisher (1935), The Logic of Inductive Inference: tables no more probable than this one.
    """
    failures, total = first.failures + second.failures, first.count + second.count

    def log_probability(own: int) -> float:
        return (
            _log_choose(failures, own)
            + _log_choose(total - failures, first.count - own)
            - _log_choose(total, first.count)
        )

    lowest = max(0, first.count - (total - failures))
    highest = min(failures, first.count)
    threshold = exp(log_probability(first.failures)) * _TIE
    tables = (exp(log_probability(own)) for own in range(lowest, highest + 1))
    return min(1.0, sum(p for p in tables if p <= threshold))


def _log_choose(total: int, count: int) -> float:
    return lgamma(total + 1) - lgamma(count + 1) - lgamma(total - count + 1)
