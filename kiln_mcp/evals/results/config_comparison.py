"""Compare run configs on the items of an eval, in all its scores at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.statistics import (
    BestMean,
    BestSystems,
    Interval,
    SystemDifference,
    best_mean,
    best_systems,
    differences_from,
    pareto_front,
    score_columns,
)
from storage import TaskRunConfig

DEFAULT_FLOOR: Final = 5.0
"""Points that a score may lose at most, of the hundred that its scale has."""


@dataclass(frozen=True, slots=True)
class ComparedScore:
    """One score of all run configs.

    Attributes:
        key: The score's key.
        means: Its mean for each run config.
        counts: Items with this score for each run config.
        baseline: The baseline's place.
        against_baseline: Each other run config less the baseline, by place.
        best: Which run configs may be the best.
        top: The mean of the best one, corrected for the choice.
        floor: The loss that is allowed, in the unit of the score.
    """

    key: str
    means: tuple[float, ...]
    counts: tuple[int, ...]
    baseline: int
    against_baseline: Mapping[int, SystemDifference]
    best: BestSystems
    top: BestMean
    floor: float

    def against_best(self, place: int) -> SystemDifference | None:
        """Return a run config less the best one; None for the best one itself."""
        return next((d for d in self.best.differences if d.second == place), None)

    def is_floor_cleared(self, place: int) -> bool | None:
        """Return whether a run config is shown to lose less than the floor allows."""
        difference = self.against_baseline.get(place)
        if difference is None:
            return None
        interval = difference.interval
        return isinstance(interval, Interval) and interval.low >= -self.floor

    def is_better(self, place: int) -> bool:
        """Return whether a run config is shown to be better than the baseline."""
        difference = self.against_baseline.get(place)
        return difference is not None and difference.is_shown and difference.difference > 0

    def is_worse(self, place: int) -> bool:
        """Return whether a run config is shown to be worse than the baseline."""
        difference = self.against_baseline.get(place)
        return difference is not None and difference.is_shown and difference.difference < 0


@dataclass(frozen=True, slots=True)
class ScaledScores:
    """One score by run config and item, with the ends of its scale.

    Attributes:
        key: The score's key.
        columns: For each run config the score of each item.
        ends: The ends of the scale.
    """

    key: str
    columns: Sequence[Mapping[str, float]]
    ends: tuple[float, float]


def compare_score(
    scores: ScaledScores, baseline: int, level: float, floor: float = DEFAULT_FLOOR, seed: int = 0
) -> ComparedScore:
    """Compare run configs in one score.

    Args:
        scores: The scores.
        baseline: The place of the baseline.
        level: Of the intervals of each family together.
        floor: The points of a hundred that may be lost.
        seed: Of the resamples.

    Raises:
        ValueError: There is no score.
    """
    table = score_columns(scores.columns, scores.ends)
    low, high = scores.ends
    return ComparedScore(
        key=scores.key,
        means=tuple(float(mean) for mean in table.means),
        counts=tuple(int(count) for count in table.counts),
        baseline=baseline,
        against_baseline={d.second: d for d in differences_from(table, baseline, level, seed)},
        best=best_systems(table, level, seed),
        top=best_mean(table, seed=seed),
        floor=floor / 100 * (high - low),
    )


@dataclass(frozen=True, slots=True)
class ConfigCost:
    """What an output of a run config takes; None where too few outputs say it.

    Attributes:
        usd: US dollars.
        seconds: Seconds.
    """

    usd: float | None = None
    seconds: float | None = None


def front_of(scores: Sequence[ComparedScore], costs: Sequence[ConfigCost]) -> list[int]:
    """Return the places of the run configs that none beats in scores, cost and time together."""
    points = [
        [
            *(score.means[place] for score in scores),
            None if cost.usd is None else -cost.usd,
            None if cost.seconds is None else -cost.seconds,
        ]
        for place, cost in enumerate(costs)
    ]
    return pareto_front(points)


def names_of(configs: Sequence[TaskRunConfig], places: Sequence[int]) -> list[str]:
    """Return the names of the run configs at some places."""
    return [configs[place].name for place in places]
