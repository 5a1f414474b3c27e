"""What the comparison at the end of a sweep can show, said before anything is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2, sqrt
from statistics import NormalDist, fmean
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
        expected_gain: That of a model, by those trained before, or else half of the room; None
            if nothing is known.
        power: The share of cases in which the comparison shows that gain; None without one.
        earlier_models: Models trained before whose gains the expected one is the mean of.
    """

    items: int
    models: int
    smallest_gain: float | None
    luck: float
    room: float | None = None
    expected_gain: float | None = None
    power: float | None = None
    earlier_models: int = 0

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
        return f"{sight}{luck}{room}{self._expectation}"

    @property
    def _expectation(self) -> str:
        """What gain is to be expected, and how often it is shown, in a sentence."""
        gain, power = self.expected_gain, self.power
        if gain is None or power is None:
            return (
                " No gain can be expected from data: run the baseline on these items first to know "
                "how much it lacks."
            )
        points, cases = gain * _POINTS, power * _POINTS
        if self.earlier_models:
            return (
                f" The models trained before, {self.earlier_models}, gained {points:.0f} points on "
                f"average; such a gain is shown in {cases:.0f} of 100 cases."
                if gain > 0
                else f" The models trained before, {self.earlier_models}, gained nothing on "
                "average, so that no gain is to be expected."
            )
        return (
            f" No model was trained before. If the best one gains half of that, {points:.0f} "
            f"points, it is shown in {cases:.0f} of 100 cases."
        )


def sweep_outlook(
    items: int,
    models: int,
    results: Sequence[float] = (),
    earlier_gains: Sequence[float] = (),
) -> SweepOutlook:
    """Return what a comparison can show, and what is to be expected of it.

    The error is shared by the models, as Bonferroni's correction does; the intervals of the
    comparison itself are a little narrower.

    Args:
        items: Items of the part, 1 or more.
        models: Tuned models, 1 or more.
        results: Scores of the baseline from 0 to 1 on items of the part, as far as there are any.
        earlier_gains: The mean gain over the baseline of each model that was trained before.

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
    room = 1 - fmean(results) if results else None
    gain = _expected_gain(room, earlier_gains)
    power = None
    if gain is not None:
        power = _share(items, max(gain, 0.0), level) if items * gain >= fewest else 0.0
    return SweepOutlook(items, models, smallest, luck, room, gain, power, len(earlier_gains))


def _expected_gain(room: float | None, earlier_gains: Sequence[float]) -> float | None:
    """Return the mean of earlier gains, or half of what can be gained; None if nothing is known."""
    if earlier_gains:
        return fmean(earlier_gains) if room is None else min(fmean(earlier_gains), room)
    return None if room is None else room / 2


def _share(items: int, gain: float, level: float) -> float:
    return detection_share(items, gain, level, min(1.0, max(gain + _LOSSES, USUAL_DISAGREEMENT)))
