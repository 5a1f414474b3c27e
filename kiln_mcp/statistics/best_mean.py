"""The mean of the best of several systems, less what the choice adds to it."""

from dataclasses import dataclass
from math import ceil
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from kiln_mcp.statistics.interval import check_level
from kiln_mcp.statistics.mean_deviations import Columns, mean_deviations
from kiln_mcp.statistics.proportions import score_interval
from kiln_mcp.statistics.score_columns import ScoreColumns

if TYPE_CHECKING:
    from kiln_mcp.statistics.mean_deviations import Numbers

_DRAWS: Final = 4_000


@dataclass(frozen=True, slots=True)
class BestMean:
    """The highest mean of several systems.

    Attributes:
        column: The system.
        mean: Its mean, which the choice makes look better than it is.
        corrected_mean: The mean less the optimism of the choice.
        low: A lower limit at the level that holds for whichever system was chosen.
        level: The level of the limit.
        count: Its items.
    """

    column: int
    mean: float
    corrected_mean: float
    low: float
    level: float
    count: int


def best_mean(table: ScoreColumns, level: float = 0.95, seed: int = 0) -> BestMean:
    """Return the highest mean, corrected for having been chosen among several.

    The correction is the bootstrap's: how much better the winner of a resample looks there than
    it is in the whole. The lower limit is Wilson's for pass and fail, with the quantile of the
    largest deviation of all systems in place of 1.645. Deviations of both signs count, at twice
    the error: near the end of the scale those upwards alone are too small, and it covered 90 %.

    Raises:
        ValueError: The level lies outside (0, 1).

    Source:
        Efron and Tibshirani (1993), chapter 17 (optimism); certificate, section 9.
    """
    check_level(level)
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    means, errors = table.means, _standard_errors(table)
    column = int(means.argmax())
    optimism: list[Numbers] = []
    largest: list[Numbers] = []
    for part in mean_deviations(Columns(table.values, table.present), _DRAWS, seed):
        drawn_means = means + part
        winners = drawn_means.argmax(axis=1)
        optimism.append(drawn_means.max(axis=1) - means[winners])
        largest.append((np.abs(part) / errors).max(axis=1))
    deviations = np.sort(np.concatenate(largest))
    place = min(_DRAWS - 1, max(0, ceil((_DRAWS + 1) * (2 * level - 1)) - 1))
    threshold = max(NormalDist().inv_cdf(level), float(deviations[place]))
    mean, count = float(means[column]), int(table.counts[column])
    corrected_mean = mean - max(0.0, float(np.concatenate(optimism).mean()))
    low = _lower_limit(table, column, threshold)
    return BestMean(column, mean, max(table.low, corrected_mean), low, level, count)


def _standard_errors(table: ScoreColumns) -> "Numbers":
    """Return the standard error of each mean, with prior items so that it is never 0."""
    counts, sums = table.counts, table.values.sum(axis=0)
    if table.is_binary:
        shares = (sums + 1) / (counts + 2)
        return (shares * (1 - shares) / counts.clip(min=1)) ** 0.5
    centre, prior = (table.low + table.high) / 2, (table.high - table.low) / 4
    squares = (table.values**2).sum(axis=0) + centre**2 + prior**2
    variances = squares / (counts + 1) - ((sums + centre) / (counts + 1)) ** 2
    return (variances.clip(min=1e-18) / (counts + 2)) ** 0.5


def _lower_limit(table: ScoreColumns, column: int, threshold: float) -> float:
    count = int(table.counts[column])
    total = float(table.values[:, column].sum())
    if table.is_binary and count:
        own_level = min(2 * NormalDist().cdf(threshold) - 1, 1 - 1e-12)
        return score_interval(total / count, count, own_level).low
    centre = (total + (table.low + table.high) / 2) / (count + 1)
    return max(table.low, centre - threshold * float(_standard_errors(table)[column]))
