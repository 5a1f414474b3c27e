"""Compare many systems on the same items at once, with intervals that hold together.

One bootstrap over items serves every difference, so items that are hard for all systems move them
together. The 95 % quantile of the largest deviation, in standard errors, replaces 1.96. Without it
the best of 31 equal systems is called better than the worst in 96 % of cases.

Missing scores: a difference is taken over the items that both systems have, and all differences
see the same resamples.

Source:
    Westfall and Young (1993), Resampling-Based Multiple Testing (max-T); Newcombe (1998), method
    10, for pass and fail; Hsu (1996), Multiple Comparisons, chapter 4, for the set of the best.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from kiln_mcp.statistics.detection import items_to_tell_apart
from kiln_mcp.statistics.differences import PairedCounts, paired_newcombe_interval
from kiln_mcp.statistics.interval import CannotTell, Interval, check_level
from kiln_mcp.statistics.mean_deviations import Columns, mean_deviations
from kiln_mcp.statistics.score_columns import ScoreColumns
from kiln_mcp.statistics.sign_flips import sign_flip_p_values
from kiln_mcp.statistics.significance import holm, mcnemar_exact

if TYPE_CHECKING:
    from kiln_mcp.statistics.mean_deviations import Numbers

FEWEST_SHARED: Final = 2
"""Items that two systems must share for a difference with an interval."""
_FEWEST_DRAWS: Final = 4_000
_MOST_DRAWS: Final = 20_000
_DRAWS_IN_TAIL: Final = 60
"""Resamples that should lie beyond the quantile that is read from them."""


@dataclass(frozen=True, slots=True)
class SystemDifference:
    """The second system's mean score less the first's, over the items that both have.

    Attributes:
        first: The first system's column.
        second: The second system's column.
        difference: In the unit of the scores.
        interval: It holds together with all others of its family; or why there is none.
        p_value: Of "both do equally well", corrected for the family; or why there is none.
        count: Items that both have.
        deviation: The standard deviation of the items' differences.
        threshold: Standard errors of the interval, in place of 1.96.
    """

    first: int
    second: int
    difference: float
    interval: Interval | CannotTell
    p_value: float | CannotTell
    count: int
    deviation: float
    threshold: float

    @property
    def is_shown(self) -> bool:
        """Return whether interval and test agree that the two differ."""
        return (
            isinstance(self.interval, Interval)
            and 0 not in self.interval
            and isinstance(self.p_value, float)
            and self.p_value <= 1 - self.interval.level
        )

    @property
    def more_items(self) -> int | None:
        """Return about how many more items would tell the two apart; None if nobody can say.

        It takes the difference that was seen for the true one, and 80 % power.
        """
        items_needed = items_to_tell_apart(self.difference, self.deviation, self.threshold)
        return None if items_needed is None else max(1, items_needed - self.count)


@dataclass(frozen=True, slots=True)
class BestSystems:
    """Which of several systems may be the best.

    Attributes:
        best: The column with the highest mean.
        candidates: The columns than which none is shown to be better; the best is one of them.
        differences: Each other column less the best one, all pairs being one family.
    """

    best: int
    candidates: tuple[int, ...]
    differences: tuple[SystemDifference, ...]


def differences_from(
    table: ScoreColumns, baseline: int, level: float = 0.95, seed: int = 0
) -> list[SystemDifference]:
    """Compare every other system with a baseline; the intervals hold together.

    The p-values are exact (McNemar) for pass and fail and from flips of the items' signs for other
    scores, corrected by Holm.

    Args:
        table: The scores.
        baseline: The baseline's column.
        level: Nominal coverage of all intervals together.
        seed: Of the resamples.

    Raises:
        ValueError: The level lies outside (0, 1).
    """
    check_level(level)
    other_columns = [column for column in range(table.size) if column != baseline]
    pairs = _Pairs.of(table, baseline, other_columns, is_binary=table.is_binary)
    largest = _largest_deviations(table, [pairs], _draws(level), seed)
    threshold = _threshold(largest, level, len(other_columns))
    p_values = holm(pairs.p_values(seed)) if other_columns else []
    return [
        pairs.difference(place, threshold, level, p_value) for place, p_value in enumerate(p_values)
    ]


def best_systems(table: ScoreColumns, level: float = 0.95, seed: int = 0) -> BestSystems:
    """Find the systems that may be the best; the intervals of all pairs hold together.

    Args:
        table: The scores.
        level: Nominal coverage of all intervals together.
        seed: Of the resamples.

    Raises:
        ValueError: The level lies outside (0, 1).
    """
    check_level(level)
    size = table.size
    best = int(table.means.argmax())
    order = [best, *(column for column in range(size) if column != best)]
    is_binary = table.is_binary
    families = [
        _Pairs.of(table, first, order[place + 1 :], is_binary=is_binary)
        for place, first in enumerate(order)
    ]
    largest = _largest_deviations(table, families, _draws(level), seed)
    threshold = _threshold(largest, level, size * (size - 1) // 2)
    worse: set[int] = set()
    for pairs in families:
        for place in pairs.clear_places(threshold):
            p_value = _share_beyond(largest, pairs.statistic(place))
            difference = pairs.difference(place, threshold, level, p_value)
            if difference.is_shown:
                better = difference.difference > 0
                worse.add(difference.first if better else difference.second)
    candidates = tuple(column for column in range(size) if column not in worse)
    against_best = families[0]
    differences = tuple(
        against_best.difference(
            place, threshold, level, _share_beyond(largest, against_best.statistic(place))
        )
        for place in range(len(against_best.other_columns))
    )
    return BestSystems(best, candidates, differences)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The differences of several systems from one, by item.

    Attributes:
        table: All scores.
        first: The column that the others are compared with.
        other_columns: The other columns.
        is_binary: Whether every score is 0 or 1.
        counts: Shared items.
        means: The mean differences.
        centres: The means with two prior items of weight ½ (certificate, section 8).
        deviations: Standard deviations with the same prior.
    """

    table: ScoreColumns
    first: int
    other_columns: tuple[int, ...]
    is_binary: bool
    counts: "Numbers"
    means: "Numbers"
    centres: "Numbers"
    deviations: "Numbers"

    @classmethod
    def of(
        cls, table: ScoreColumns, first: int, other_columns: Sequence[int], *, is_binary: bool
    ) -> "_Pairs":
        import numpy as np  # imported late: slow to import, and most calls compare nothing

        by_item = _differences_by_item(table, first, other_columns)
        counts, sums = by_item.present.sum(axis=0), by_item.values.sum(axis=0)
        prior = (table.high - table.low) / 2
        centres = sums / (counts + 1)
        squares = np.einsum("ij,ij->j", by_item.values, by_item.values)
        variances = (squares + prior**2) / (counts + 1) - centres**2
        return cls(
            table,
            first,
            tuple(other_columns),
            is_binary,
            counts,
            sums / counts.clip(min=1),
            centres,
            np.sqrt(variances.clip(min=1e-18)),
        )

    @property
    def by_item(self) -> Columns:
        """Return the differences by item."""
        return _differences_by_item(self.table, self.first, self.other_columns)

    @property
    def standard_errors(self) -> "Numbers":
        """Return the standard error of each difference."""
        return self.deviations / (self.counts + 2) ** 0.5

    def statistic(self, place: int) -> float:
        """Return a difference in standard errors, without its sign."""
        return abs(float(self.means[place] / self.standard_errors[place]))

    def clear_places(self, threshold: float) -> list[int]:
        """Return the pairs whose difference is larger than so many standard errors."""
        return [p for p in range(len(self.other_columns)) if self.statistic(p) >= threshold]

    def p_values(self, seed: int) -> list[float]:
        """Return the p-value of each pair by itself; 1 where too few items are shared."""
        by_item = self.by_item.values
        if self.is_binary:
            return [
                mcnemar_exact(int(losses), int(wins))
                for losses, wins in zip(
                    (by_item < 0).sum(axis=0), (by_item > 0).sum(axis=0), strict=True
                )
            ]
        return sign_flip_p_values(by_item, seed)

    def difference(
        self, place: int, threshold: float, level: float, p_value: float
    ) -> SystemDifference:
        """Return one difference with the interval of its family."""
        count = int(self.counts[place])
        result = SystemDifference(
            first=self.first,
            second=self.other_columns[place],
            difference=float(self.means[place]),
            interval=self._interval(place, threshold, level),
            p_value=p_value,
            count=count,
            deviation=float(self.deviations[place]),
            threshold=threshold,
        )
        if count >= FEWEST_SHARED:
            return result
        reason = CannotTell(f"the two share {count} scored items, and it takes {FEWEST_SHARED}")
        return replace(result, interval=reason, p_value=reason)

    def _interval(self, place: int, threshold: float, level: float) -> Interval:
        if self.is_binary and self.counts[place]:
            own_level = min(2 * NormalDist().cdf(threshold) - 1, 1 - 1e-12)
            interval = paired_newcombe_interval(self._paired_counts(place), own_level)
            return replace(interval, level=level)
        half = threshold * float(self.standard_errors[place])
        centre, widest = float(self.centres[place]), self.table.high - self.table.low
        return Interval(max(-widest, centre - half), min(widest, centre + half), level)

    def _paired_counts(self, place: int) -> PairedCounts:
        pair = _differences_by_item(self.table, self.first, [self.other_columns[place]])
        only_first, only_second = int((pair.values < 0).sum()), int((pair.values > 0).sum())
        firsts = self.table.values[:, self.first] @ pair.present[:, 0]
        both_pass = int(firsts) - only_first
        neither = int(self.counts[place]) - both_pass - only_first - only_second
        return PairedCounts(both_pass, only_first, only_second, neither)


def _differences_by_item(table: ScoreColumns, first: int, other_columns: Sequence[int]) -> Columns:
    """Return other columns less the first by item; missing where one of the two scores is."""
    columns = list(other_columns)
    present = table.present[:, columns] * table.present[:, [first]]
    return Columns((table.values[:, columns] - table.values[:, [first]]) * present, present)


def _largest_deviations(
    table: ScoreColumns, families: Sequence[_Pairs], draws: int, seed: int
) -> "Numbers":
    """Return for each draw of the items the largest deviation of a difference.

    It is in standard errors, and the draws are sorted.
    """
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    pairs = [family for family in families if family.other_columns]
    if not pairs:
        return np.zeros(draws)
    errors = np.concatenate([family.standard_errors for family in pairs])
    if table.is_complete:
        firsts = [family.first for family in pairs for _ in family.other_columns]
        seconds = [column for family in pairs for column in family.other_columns]
        scores = Columns(table.values, table.present)
        parts = (
            part[:, seconds] - part[:, firsts] for part in mean_deviations(scores, draws, seed)
        )
    else:
        parts = mean_deviations(_side_by_side(pairs), draws, seed)
    return np.sort(np.concatenate([(np.abs(part) / errors).max(axis=1) for part in parts]))


def _side_by_side(families: Sequence[_Pairs]) -> Columns:
    """Return the differences of all pairs by item; filled in place, as they are large."""
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    width = sum(len(family.other_columns) for family in families)
    shape = len(families[0].table.items), width
    result, begin = Columns(np.empty(shape), np.empty(shape)), 0
    for family in families:
        part, end = family.by_item, begin + len(family.other_columns)
        result.values[:, begin:end], result.present[:, begin:end] = part.values, part.present
        begin = end
    return result


def _draws(level: float) -> int:
    """Return how many resamples the quantile at a level needs."""
    return min(_MOST_DRAWS, max(_FEWEST_DRAWS, ceil(_DRAWS_IN_TAIL / (1 - level))))


def _threshold(largest: "Numbers", level: float, comparisons: int) -> float:
    """Return the standard errors by which intervals of a family hold together.

    Far in the tail, where resamples are too few to say, it is Bonferroni's.
    """
    tail = 1 - level
    plain = NormalDist().inv_cdf(0.5 + level / 2)
    bonferroni = NormalDist().inv_cdf(1 - tail / (2 * max(1, comparisons)))
    draws = len(largest)
    if draws * tail < _DRAWS_IN_TAIL / 6:
        return bonferroni
    place = min(draws - 1, ceil((draws + 1) * level) - 1)
    return max(plain, float(largest[place]))


def _share_beyond(largest: "Numbers", statistic: float) -> float:
    """Return the corrected p-value of a difference of so many standard errors."""
    beyond = len(largest) - int(largest.searchsorted(statistic, side="left"))
    return (1 + beyond) / (1 + len(largest))
