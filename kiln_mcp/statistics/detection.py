"""What a comparison can see: the share of cases that show a gain, and the items that it takes."""

from math import ceil, sqrt
from statistics import NormalDist
from typing import Final

USUAL_DISAGREEMENT: Final = 0.216
"""The share of items on which two versions of a feature usually differ in pass and fail."""
USUAL_POWER: Final = 0.8
_SMALLEST_DIFFERENCE: Final = 1e-9


def detection_share(
    items: int, gain: float, level: float = 0.95, disagreement: float = USUAL_DISAGREEMENT
) -> float:
    """Return about how often a paired comparison of pass and fail shows a gain.

    Args:
        items: Items that both versions are scored on.
        gain: The true gain of the pass rate, such as 0.1.
        level: The level of the interval that must leave out 0.
        disagreement: The share of items on which the two versions differ, at least the gain.

    Raises:
        ValueError: The gain exceeds the disagreement.
    """
    if abs(gain) > disagreement:
        message = f"A gain of {gain} needs at least so many items that differ, not {disagreement}."
        raise ValueError(message)
    spread = sqrt(disagreement - gain**2) or 1e-9
    normal = NormalDist()
    return normal.cdf(abs(gain) * sqrt(items) / spread - normal.inv_cdf(0.5 + level / 2))


def items_to_tell_apart(
    difference: float, deviation: float, threshold: float, power: float = USUAL_POWER
) -> int | None:
    """Return about how many items would show a difference; None for a difference of 0.

    Args:
        difference: The difference, taken for the true one.
        deviation: The standard deviation of the items' differences.
        threshold: The standard errors by which the difference must lie away from 0.
        power: The share of cases that should show it.
    """
    if abs(difference) < _SMALLEST_DIFFERENCE:
        return None
    return ceil(((threshold + NormalDist().inv_cdf(power)) * deviation / difference) ** 2)
