"""What the comparison at the end of a sweep can show, said before anything is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2, sqrt
from statistics import NormalDist
from typing import Final

from kiln_mcp.statistics.claim_levels import ALL_CLAIMS
from kiln_mcp.statistics.detection import USUAL_DISAGREEMENT, USUAL_POWER, detection_share

_POINTS: Final = 100
_LOSSES: Final = 0.1
"""The share of items on which versions differ beyond what a large gain takes, about."""
_MIDDLE: Final = 0.375
"""Blom's constant for the expected maximum of normal numbers."""


@dataclass(frozen=True, slots=True)
class SweepOutlook:
    """What a comparison of several tuned models with a baseline can show.

    Attributes:
        items: Items that all are scored on.
        models: Tuned models that are compared with the baseline.
        smallest_gain: The gain that is shown in eight of ten cases, from 0 to 1; None if even the
            largest would not be.
        luck: By how much the best of equally good models looks better than it is, from 0 to 1.
        room: The most that the baseline can gain, from its earlier results; None without any.
    """

    items: int
    models: int
    smallest_gain: float | None
    luck: float
    room: float | None = None

    @property
    def says(self) -> str:
        """The same in sentences."""
        gain = self.smallest_gain
        sight = (
            f"The {self.items} items are too few to show any gain."
            if gain is None
            else f"The {self.items} items show a gain of {gain * _POINTS:.0f} points of pass or "
            "fail in eight of ten cases."
        )
        luck = (
            ""
            if self.models == 1
            else f" The best of {self.models} equal models would look {self.luck * _POINTS:.1f} "
            "points better by luck, which the comparison takes into account."
        )
        room = (
            ""
            if self.room is None
            else f" By its results so far, the baseline can gain {self.room * _POINTS:.0f} points "
            "at most."
        )
        return f"{sight}{luck}{room}"


def sweep_outlook(items: int, models: int, results: Sequence[float] = ()) -> SweepOutlook:
    """Return what a comparison can show.

    The error is shared by the models, as Bonferroni's correction does; the intervals of the
    comparison itself are a little narrower.

    Args:
        items: Items of the part, 1 or more.
        models: Tuned models, 1 or more.
        results: Scores of the baseline from 0 to 1 on items of the part, as far as there are any.

    Source:
        Blom (1958), Statistical Estimates and Transformed Beta-Variables, for the luck.
    """
    level = 1 - ALL_CLAIMS / models
    # McNemar's exact test of so many items, all in favour of one side, has p = 2 / 2^n.
    fewest = ceil(1 + log2(1 / (1 - level)))
    gains = (n / _POINTS for n in range(1, _POINTS + 1) if items * n / _POINTS >= fewest)
    smallest = next((gain for gain in gains if _share(items, gain, level) >= USUAL_POWER), None)
    deviation = sqrt(USUAL_DISAGREEMENT / items)
    rank = (models - _MIDDLE) / (models + 1 - 2 * _MIDDLE)
    luck = deviation * NormalDist().inv_cdf(rank) if models > 1 else 0.0
    room = 1 - sum(results) / len(results) if results else None
    return SweepOutlook(items, models, smallest, luck, room)


def _share(items: int, gain: float, level: float) -> float:
    return detection_share(items, gain, level, min(1.0, max(gain + _LOSSES, USUAL_DISAGREEMENT)))
