"""A test of paired scores that are not pass or fail: flips of the items' signs."""

from math import erfc
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kiln_mcp.statistics.mean_deviations import Numbers

_FLIPS: Final = 9_999
_CELLS_AT_ONCE: Final = 1_000_000
_MOST_ITEMS_FLIPPED: Final = 1_000
"""Items of which signs are always drawn."""
_FEWEST_EFFECTIVE: Final = 100
"""Items of equal weight whose flipped sum is as good as normal: its kurtosis is 3 less 2 / 100."""


def sign_flip_p_values(differences: "Numbers", seed: int = 0) -> list[float]:
    """Return the two-sided p-value of "the mean difference is 0" for each column.

    Under "both do equally well" an item's difference is as likely to have the other sign. All
    columns see the same flips. Of many items the sum of flipped differences is close to normal,
    unless few items carry it; then those are flipped.

    Args:
        differences: Items by comparisons; 0 where an item says nothing.
        seed: Of the flips.

    Source:
        Good (2005), Permutation, Parametric and Bootstrap Tests of Hypotheses, section 3.2.
    """
    if len(differences) <= _MOST_ITEMS_FLIPPED:
        return _drawn_p_values(differences, seed)
    p_values: list[float] = []
    for column in differences.T:
        weights = column[column != 0] ** 2
        variance, fourths = float(weights.sum()), float(weights @ weights)
        if variance**2 >= _FEWEST_EFFECTIVE * fourths > 0:
            p_values.append(erfc(abs(float(column.sum())) / (2 * variance) ** 0.5))
        else:
            p_values += _drawn_p_values(column[column != 0][:, None], seed)
    return p_values


def _drawn_p_values(differences: "Numbers", seed: int) -> list[float]:
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    random = np.random.default_rng(seed)
    items = max(1, len(differences))
    sums = np.abs(differences.sum(axis=0))
    beyond = np.zeros(differences.shape[1])
    at_once = max(1, _CELLS_AT_ONCE // items)
    for begin in range(0, _FLIPS, at_once):
        rows = min(at_once, _FLIPS - begin)
        signs = random.integers(0, 2, size=(rows, len(differences))) * 2.0 - 1.0
        beyond += (np.abs(signs @ differences) >= sums - 1e-9).sum(axis=0)
    return [float(p) for p in (1 + beyond) / (1 + _FLIPS)]
