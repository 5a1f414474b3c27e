"""How far the means of columns lie from what they are, in resamples of the items.

What is drawn depends on the number of items:

- Few items are resampled one by one, with replacement.
- Of more items only the counts of equal rows are drawn, which has the same distribution: pass and
  fail of two systems are four rows, however many items there are.
- If many rows differ, the means of so many items are close to normal, with the items' covariances.
  The normal multiplier bootstrap is drawn from them.

Source:
    Chernozhukov, Chetverikov and Kato (2013), Gaussian approximations and multiplier bootstrap for
    maxima of sums of high-dimensional random vectors, Annals of Statistics 41(6).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Places = NDArray[np.intp]

MOST_ITEMS_ONE_BY_ONE: Final = 1_000
"""Items of which resamples are drawn one by one."""
_MOST_DISTINCT: Final = 256
"""Distinct rows whose counts are drawn; of more rows a normal draw is as good and faster."""
_CELLS_AT_ONCE: Final = 1_000_000
"""Numbers of a part of the resamples, so that many items need no more memory."""
_ROWS_AT_ONCE: Final = 2_048
_RIDGE: Final = 1e-10
"""Share of the largest variance by which columns that depend on each other are told apart."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Numbers of items, of which some may be missing.

    Attributes:
        values: Items by columns; 0 where a number is missing.
        present: Items by columns: 1 for a number, 0 for a missing one.
    """

    values: "Numbers"
    present: "Numbers"

    @property
    def means(self) -> "Numbers":
        """Return the mean of each column over its own items; 0 for a column without any."""
        return self.values.sum(axis=0) / self.present.sum(axis=0).clip(min=1)


def mean_deviations(columns: Columns, draws: int, seed: int) -> "Iterator[Numbers]":
    """Yield draws of the columns' means less their means over all items, some draws at a time.

    All columns see the same draw of the items. A mean without an item in a draw deviates by 0. The
    same seed gives the same draws.

    Args:
        columns: The numbers; at least one item.
        draws: How many.
        seed: Of the draws.
    """
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    items = len(columns.values)
    if items <= MOST_ITEMS_ONE_BY_ONE:
        return _from_counts(columns, _item_counts(items, draws, seed))
    head = Columns(columns.values[:_ROWS_AT_ONCE], columns.present[:_ROWS_AT_ONCE])
    if len(_distinct_rows(head)[0]) > _MOST_DISTINCT:
        return _normal_deviations(columns, draws, seed)
    rows, repeats = _distinct_rows(columns)
    if len(rows) > _MOST_DISTINCT:
        return _normal_deviations(columns, draws, seed)
    distinct = Columns(columns.values[rows], columns.present[rows])
    counts = np.random.default_rng(seed).multinomial(items, repeats / items, size=draws)
    return _from_counts(distinct, iter([counts.astype(np.float64)]), columns.means)


def _item_counts(items: int, draws: int, seed: int) -> "Iterator[Numbers]":
    """Yield resamples of items with replacement: how often every item is in each."""
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    random = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // items)
    for begin in range(0, draws, at_once):
        rows = min(at_once, draws - begin)
        picks = random.integers(0, items, size=(rows, items))
        picks += np.arange(rows)[:, None] * items
        counts = np.bincount(picks.ravel(), minlength=rows * items)
        yield counts.reshape(rows, items).astype(np.float64)


def _from_counts(
    columns: Columns, parts: "Iterator[Numbers]", means: "Numbers | None" = None
) -> "Iterator[Numbers]":
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    centres = columns.means if means is None else means
    is_complete = bool(columns.present.all())
    for counts in parts:
        sums = counts @ columns.values
        if is_complete:
            yield sums / counts.sum(axis=1, keepdims=True) - centres
        else:
            weights = counts @ columns.present
            yield np.where(weights > 0, sums / weights.clip(min=1), centres) - centres


def _distinct_rows(columns: Columns) -> "tuple[Places, NDArray[np.intp]]":
    """Return the first place of each row among equal ones, and how many are equal to it."""
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    table = np.ascontiguousarray(np.hstack([columns.values, columns.present]))
    keys = table.view(np.dtype((np.void, table.itemsize * table.shape[1]))).ravel()
    _, rows, repeats = np.unique(keys, return_index=True, return_counts=True)
    return rows, repeats


def _normal_deviations(columns: Columns, draws: int, seed: int) -> "Iterator[Numbers]":
    """Yield draws from the normal distribution with the covariances of the means."""
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    width = columns.values.shape[1]
    centres, counts = columns.means, columns.present.sum(axis=0).clip(min=1)
    covariances = np.zeros((width, width))
    for begin in range(0, len(columns.values), _ROWS_AT_ONCE):
        part = slice(begin, begin + _ROWS_AT_ONCE)
        influences = (columns.values[part] - centres * columns.present[part]) / counts
        covariances += influences.T @ influences
    largest = float(covariances.diagonal().max())
    ridge = (_RIDGE * largest or 1.0) * np.eye(width)
    factor = np.linalg.cholesky(covariances + ridge).T
    random = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // width)
    for begin in range(0, draws, at_once):
        yield random.standard_normal((min(at_once, draws - begin), width)) @ factor
