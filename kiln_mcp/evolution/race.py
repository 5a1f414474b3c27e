"""Paired races: a challenger against the best so far, on the same items, a chunk at a time.

After each chunk the race may end. Evidence is a betting process on the paired differences, which
may be looked at as often as one likes: under "no better" its expectation never exceeds 1.

Source:
    Waudby-Smith and Ramdas (2024), Estimating Means of Bounded Random Variables by Betting.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

BET: Final = 0.5
WIN_THRESHOLD: Final = 10.0
LOSS_THRESHOLD: Final = 2.0
"""Low on purpose: a good candidate that is dropped by chance costs little, others follow."""


class Standing(StrEnum):
    """How a race stands."""

    OPEN = "open"
    WON = "won"
    LOST = "lost"
    LEVEL = "level"


def evidence(differences: Sequence[float]) -> float:
    """Return the wealth of betting half a unit on every difference being above 0.

    Args:
        differences: Challenger less best, from -1 to 1, in the order of looking.
    """
    wealth = 1.0
    for difference in differences:
        wealth *= 1 + BET * difference
    return wealth


def standing(differences: Sequence[float], of: int) -> Standing:
    """Return how a race stands after some of its items.

    Args:
        differences: Challenger less best by item, so far.
        of: How many items the whole race has.
    """
    if evidence(differences) >= WIN_THRESHOLD:
        return Standing.WON
    if evidence([-difference for difference in differences]) >= LOSS_THRESHOLD:
        return Standing.LOST
    if len(differences) < of:
        return Standing.OPEN
    total = sum(differences)
    if total > 0:
        return Standing.WON
    return Standing.LOST if total < 0 else Standing.LEVEL
