"""Distances of two raters' scores."""

from collections.abc import Sequence
from statistics import fmean


def mean_absolute_error(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the mean distance of two raters' scores of the same items, 0 or above.

    Raises:
        ValueError: The sequences are empty or differ in length.
    """
    return fmean(_distances(first, second))


def mean_squared_error(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the mean squared distance of two raters' scores of the same items, 0 or above.

    Raises:
        ValueError: The sequences are empty or differ in length.
    """
    return fmean(distance**2 for distance in _distances(first, second))


def _distances(first: Sequence[float], second: Sequence[float]) -> list[float]:
    if not first:
        message = "A mean distance needs at least one item."
        raise ValueError(message)
    return [abs(a - b) for a, b in zip(first, second, strict=True)]
