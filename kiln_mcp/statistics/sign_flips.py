"""A test of paired scores that are not pass or fail: flips of the items' signs."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kiln_mcp.statistics.score_columns import Numbers

_FLIPS: Final = 9_999
_CELLS_AT_ONCE: Final = 4_000_000


def sign_flip_p_values(differences: "Numbers", seed: int = 0) -> list[float]:
    """Return the two-sided p-value of "the mean difference is 0" for each column.

    Under "both do equally well" an item's difference is as likely to have the other sign. All
    columns see the same flips.

    Args:
        differences: Items by comparisons; 0 where an item says nothing.
        seed: Of the flips.

    Source:
        Good (2005), Permutation, Parametric and Bootstrap Tests of Hypotheses, section 3.2.
    """
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
