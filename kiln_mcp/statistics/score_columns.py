"""Scores of several systems on the same items, as columns of one table with gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from math import nan
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kiln_mcp.statistics.mean_deviations import Numbers

_BINARY: Final = frozenset({0.0, 1.0})


@dataclass(frozen=True, slots=True)
class ScoreColumns:
    """Scores of several systems on the same items; higher is better.

    Attributes:
        items: The items, in the order of the rows.
        values: Items by systems; 0 for a missing score.
        present: Items by systems: 1 for a score, 0 for a missing one.
        low: The low end of the scale.
        high: The high end of the scale.
    """

    items: tuple[str, ...]
    values: "Numbers"
    present: "Numbers"
    low: float
    high: float

    @property
    def size(self) -> int:
        """Return the number of systems."""
        return int(self.values.shape[1])

    @property
    def is_complete(self) -> bool:
        """Return whether no score is missing."""
        return bool(self.present.all())

    @property
    def is_binary(self) -> bool:
        """Return whether every score is 0 or 1."""
        return bool(((self.values == 0) | (self.values == 1)).all())

    @property
    def counts(self) -> "Numbers":
        """Return the number of scores of each system."""
        return self.present.sum(axis=0)

    @property
    def means(self) -> "Numbers":
        """Return the mean of each system over its own items; 0 for a system without any."""
        return self.values.sum(axis=0) / self.counts.clip(min=1)


def score_columns(
    columns: Sequence[Mapping[str, float]], ends: tuple[float, float] | None = None
) -> ScoreColumns:
    """Return the table of several systems' scores by item.

    Args:
        columns: For each system its score by item, the higher the better.
        ends: The ends of the scale; None for 0 and 1 if all scores are, else the smallest and
            largest score.

    Raises:
        ValueError: There is no score.
    """
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    items = sorted(set[str]().union(*columns))
    if not items:
        raise ValueError("A comparison needs at least one score.")
    every = set[float]().union(*(column.values() for column in columns))
    low, high = ends or ((0.0, 1.0) if every <= _BINARY else (min(every), max(every)))
    table = np.empty((len(items), len(columns)))
    for place, column in enumerate(columns):
        scores = map(column.get, items, repeat(nan))
        table[:, place] = np.fromiter(scores, np.float64, len(items))
    present = (~np.isnan(table)).astype(np.float64)
    return ScoreColumns(tuple(items), np.nan_to_num(table), present, low, high)
