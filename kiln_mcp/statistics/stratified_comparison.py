"""Compare several systems on items that were drawn by strata, with intervals that hold together.

Items of a stratum are a random sample of it, so strata count by their sizes. The Bayesian bootstrap
weighs the items of each stratum at random, the same for all systems: what systems share stays
shared. Two prior items in all keep few equal items from showing no spread.

Source:
    Rubin (1981), The Bayesian Bootstrap; Westfall and Young (1993), the maximum statistic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from kiln_mcp.statistics.interval import Interval, check_level

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

DRAWS: Final = 4_000
_PRIOR_WEIGHT: Final = 0.5
"""The weight of each of the two prior items, divided by the number of strata."""
_PRIOR_DIFFERENCES: Final = (-0.5, 0.5)
_PRIOR_VALUES: Final = (0.25, 0.75)


@dataclass(frozen=True, slots=True)
class SampledStratum:
    """The items of one stratum.

    Attributes:
        size: Its items in the population.
        values: A row for each sampled item, with the values of all systems from 0 to 1.
    """

    size: float
    values: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class StratifiedComparison:
    """Several systems, compared with the best of them.

    Attributes:
        best: The system with the highest mean.
        means: The mean of each system in the population.
        fair_mean: The best one's mean less the bias of the choice.
        low: Its lower limit, which holds in spite of the choice.
        differences: Each system's mean less the best one's, with the intervals of all pairs
            together; the best one's own is 0.
        candidates: The systems than which none is shown to be better.
    """

    best: int
    means: tuple[float, ...]
    fair_mean: float
    low: float
    differences: tuple[tuple[float, Interval], ...]
    candidates: tuple[int, ...]


def compare_by_strata(
    strata: Sequence[SampledStratum], level: float = 0.95, seed: int = 0
) -> StratifiedComparison:
    """Compare systems on items drawn by strata.

    Args:
        strata: The strata that have sampled items.
        level: Nominal coverage of all intervals together.
        seed: Of the random weights.

    Raises:
        ValueError: There is no sampled item, or the level lies outside (0, 1).
    """
    check_level(level)
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    strata = [stratum for stratum in strata if stratum.values]
    if not strata:
        raise ValueError("A comparison needs at least one sampled item.")
    total = sum(stratum.size for stratum in strata)
    draw = np.random.default_rng(seed)
    width = len(strata[0].values[0])
    means, drawn = np.zeros(width), np.zeros((DRAWS, width))
    spread = np.zeros(DRAWS)
    for stratum in strata:
        share, values = stratum.size / total, np.asarray(stratum.values, dtype=np.float64)
        means += share * values.mean(axis=0)
        weights = _weights(draw, len(values), len(strata))
        drawn += share * (weights[:, :-2] @ values)
        drawn += share * (weights[:, -2:] @ np.asarray(_PRIOR_VALUES))[:, None]
        spread += share * (weights[:, -2:] @ np.asarray(_PRIOR_DIFFERENCES))
    best = int(means.argmax())
    pairs = (drawn[:, :, None] - drawn[:, None, :]) + spread[:, None, None]
    centres = means[:, None] - means[None, :]
    deviations = pairs.std(axis=0).clip(min=1e-9)
    off_diagonal = ~np.eye(width, dtype=bool)
    largest = (np.abs(pairs - centres) / deviations)[:, off_diagonal].max(axis=1, initial=0.0)
    threshold = max(NormalDist().inv_cdf(0.5 + level / 2), float(np.quantile(largest, level)))
    shown_worse = (centres + threshold * deviations < 0).any(axis=1)
    optimism = drawn.max(axis=1) - means[drawn.argmax(axis=1)]
    return StratifiedComparison(
        best=best,
        means=tuple(float(mean) for mean in means),
        fair_mean=max(0.0, float(means[best] - max(0.0, float(optimism.mean())))),
        low=_lower_limit(means, drawn, best, level),
        differences=tuple(
            _difference(float(centres[n, best]), threshold * float(deviations[n, best]), level)
            if n != best
            else (0.0, Interval(0.0, 0.0, level))
            for n in range(width)
        ),
        candidates=tuple(n for n in range(width) if n == best or not shown_worse[n]),
    )


def _weights(draw: "np.random.Generator", items: int, strata: int) -> "Numbers":
    """Return random weights of a stratum's items and of the two prior ones, which sum to 1."""
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    shapes = np.full(items + 2, 1.0)
    shapes[-2:] = _PRIOR_WEIGHT / strata
    weights = draw.standard_gamma(shapes, size=(DRAWS, items + 2))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)


def _difference(centre: float, reach: float, level: float) -> tuple[float, Interval]:
    return centre, Interval(max(-1.0, centre - reach), min(1.0, centre + reach), level)


def _lower_limit(means: "Numbers", drawn: "Numbers", best: int, level: float) -> float:
    """Return a lower limit of the best mean that holds for whichever system was chosen."""
    import numpy as np  # imported late: slow to import, and most calls compare nothing

    deviations = drawn.std(axis=0).clip(min=1e-9)
    largest = ((drawn - means) / deviations).max(axis=1)
    threshold = max(NormalDist().inv_cdf(level), float(np.quantile(largest, level)))
    return max(0.0, float(means[best] - threshold * deviations[best]))
