"""What a panel can tell of a clause, before it is asked and after it could not tell.

A panel compares how far readings differ with how far repeats of one reading differ. Both are
variances of shares. With normal noise, the spread of their difference over items is that of a
variance component (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4).
"""

from dataclasses import dataclass, replace
from math import ceil, sqrt
from statistics import NormalDist
from typing import Final

LEVEL: Final = 0.02
"""That of one test of the clause. Two explanations have to be refuted at 5 %: on simulated panels
that costs as much power as one at 2 %."""
GOAL: Final = 0.8
"""How often a panel should find a clause that is split."""
USUAL_FLIPS: Final = 0.1
"""How often a verdict flips, where nothing is known of the model."""
USUAL_SPLIT: Final = 0.3
"""The share of outputs on which two groups of readings differ, that a panel should find."""
MOST_REPEATS: Final = 8
_LEAST_FLIPS: Final = 0.005
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True)
class PanelSize:
    """How much a panel judges each clause.

    Attributes:
        items: Outputs.
        readings: Readings, 2 or more.
        repeats: Verdicts of each reading on each output, 2 or more.
        clauses: Clauses that are tested together.
    """

    items: int
    readings: int
    repeats: int
    clauses: int = 1

    @property
    def least_z(self) -> float:
        """How many spreads above 0 a clause has to be."""
        return _NORMAL.inv_cdf(1 - LEVEL / self.clauses)


def chance_spread(size: PanelSize, flips: float) -> float:
    """Return the standard deviation that chance gives a clause's disagreement beyond noise.

    Args:
        size: Of the panel.
        flips: How often a verdict flips, 0 to 0.5.
    """
    share = max(flips, _LEAST_FLIPS)
    variance = share * (1 - share) / size.repeats
    degrees = 1 / (size.readings - 1) + 1 / (size.readings * (size.repeats - 1))
    return 2 * variance * sqrt(2 * degrees / size.items)


def split_excess(readings: int, split: float, flips: float) -> float:
    """Return the disagreement beyond noise of a clause that two groups of readings read apart.

    Args:
        readings: Readings; half of them are in each group.
        split: The share of outputs on which the groups differ.
        flips: How often a verdict flips; flips hide a part of the difference.
    """
    half = readings // 2
    pairs = half * (readings - half) / (readings * (readings - 1) / 2)
    return split * pairs * (1 - 2 * flips) ** 2


def detection_power(size: PanelSize, excess: float, flips: float) -> float:
    """Return how often a panel finds a clause with this disagreement beyond noise.

    Args:
        size: Of the panel.
        excess: The true disagreement beyond noise.
        flips: How often a verdict flips.
    """
    spread = chance_spread(size, flips)
    return _NORMAL.cdf(excess / spread - size.least_z)


def repeats_needed(size: PanelSize, excess: float, flips: float) -> int | None:
    """Return from how many repeats on a panel finds such a clause; None if no number helps.

    Args:
        size: Of the panel; it may have fewer repeats or as many.
        excess: The true disagreement beyond noise.
        flips: How often a verdict flips.
    """
    for repeats in range(size.repeats, MOST_REPEATS + 1):
        if detection_power(replace(size, repeats=repeats), excess, flips) >= GOAL:
            return repeats
    return None


def items_needed(size: PanelSize, excess: float, flips: float) -> int:
    """Return on how many outputs a panel with these repeats finds such a clause."""
    spread = chance_spread(replace(size, items=1), flips)
    ratio = (size.least_z + _NORMAL.inv_cdf(GOAL)) * spread / excess
    return max(size.items, ceil(ratio**2))


def power_sentence(size: PanelSize) -> str:
    """Return how often a panel finds a clause that is split, if a tenth of verdicts flip."""
    if min(size.readings, size.repeats) < 2:
        return "One reading, or one verdict of each, cannot show what is ambiguous."
    excess = split_excess(size.readings, USUAL_SPLIT, USUAL_FLIPS)
    power = detection_power(size, excess, USUAL_FLIPS)
    return (
        f"If {USUAL_FLIPS:.0%} of verdicts flip, a clause that is read two ways on "
        f"{USUAL_SPLIT:.0%} of outputs is found in {min(power, 0.99):.0%} of such panels."
    )
