"""Compare two systems on the same items, or describe one: numbers with their uncertainty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from kiln_mcp.evals.item_scores import Outputs, mean_of
from kiln_mcp.statistics import (
    CannotTell,
    Interval,
    PairedCounts,
    ValueRange,
    bayesian_mean_interval,
    clustered_rate_interval,
    mcnemar_exact,
    paired_newcombe_interval,
    wilcoxon_signed_rank,
    wilson_interval,
)
from storage.records.ratings import RATING_RANGES

BINARY = frozenset({0.0, 1.0})
USUAL_LEVEL: Final = 0.95
"""The level of intervals and tests where nothing says which claim it is."""


@dataclass(frozen=True, slots=True)
class MeanScore:
    """The mean of one score over items.

    Attributes:
        mean: The mean of the values; the pass rate where they are 0 and 1.
        interval: Its interval, or why there is none.
        count: Items.
    """

    mean: float
    interval: Interval | CannotTell
    count: int


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Two systems' scores on the same items.

    Attributes:
        first: The first system's mean over these items.
        second: The second system's mean over these items.
        interval: The interval of the second mean less the first, or why there is none.
        p_value: Of "both do equally well", or why there is none.
        test: The test's name.
        count: Items that both were scored on.
        only_first: Items on which the first scored higher.
        only_second: Items on which the second scored higher.
        level: Of the interval and the test.
    """

    first: float
    second: float
    interval: Interval | CannotTell
    p_value: float | CannotTell
    test: str
    count: int
    only_first: int
    only_second: int
    level: float = USUAL_LEVEL

    @property
    def difference(self) -> float:
        """Return the second mean less the first."""
        return self.second - self.first

    @property
    def conclusive(self) -> bool:
        """Return whether the interval leaves out zero, and the test says the same."""
        is_apart = isinstance(self.interval, Interval) and 0 not in self.interval
        return is_apart and not self.is_contradictory

    @property
    def is_contradictory(self) -> bool:
        """Return whether the interval leaves out zero, and the test finds no difference."""
        is_apart = isinstance(self.interval, Interval) and 0 not in self.interval
        return is_apart and isinstance(self.p_value, float) and self.p_value >= 1 - self.level


def range_of(kind: str) -> ValueRange | None:
    """Return the values that a kind of score can have; None for a kind without a range."""
    return ValueRange(*RATING_RANGES[kind]) if kind in RATING_RANGES else None


def mean_score(
    values: Sequence[float],
    seed: int = 0,
    value_range: ValueRange | None = None,
    level: float = USUAL_LEVEL,
) -> MeanScore:
    """Return the mean of scores: Wilson's interval for pass and fail, a bootstrap otherwise.

    Raises:
        ValueError: There is no score.
    """
    if not values:
        raise ValueError("A mean needs at least one score.")
    if BINARY.issuperset(values):
        interval = wilson_interval(round(sum(values)), len(values), level)
    else:
        interval = bayesian_mean_interval(values, value_range, level=level, seed=seed)
    return MeanScore(fmean(values), interval, len(values))


def mean_of_items(
    items: Sequence[Outputs],
    seed: int = 0,
    value_range: ValueRange | None = None,
    level: float = USUAL_LEVEL,
) -> MeanScore:
    """Return the mean of items' scores; each counts once, with the mean of its outputs.

    Args:
        items: For each item its outputs, for each output its verdicts.
        seed: Of the bootstrap of scores that are not pass or fail.
        value_range: The values that the score can have; None if only the scores tell it.
        level: Of the interval.

    Raises:
        ValueError: There is no item.
    """
    means = [mean_of(outputs) for outputs in items]
    values = {value for outputs in items for verdicts in outputs for value in verdicts}
    if not means or BINARY.issuperset(means) or not BINARY.issuperset(values):
        return mean_score(means, seed, value_range, level)
    interval = clustered_rate_interval(means, sum(map(len, items)), level)
    return MeanScore(fmean(means), interval, len(means))


def paired_difference(
    first: Mapping[str, float],
    second: Mapping[str, float],
    seed: int = 0,
    value_range: ValueRange | None = None,
    level: float = USUAL_LEVEL,
) -> PairedDifference:
    """Compare two systems on the items that both were scored on.

    Pass and fail: Newcombe's paired interval and McNemar's exact test. Other scores: a
    Bayesian bootstrap of the items' differences and Wilcoxon's signed-rank test.

    Args:
        first: The first system's score by item.
        second: The second system's score by item.
        seed: Of the bootstrap.
        value_range: The values that the score can have; None if only the scores tell it.
        level: Of the interval and the test.

    Raises:
        ValueError: They share no item.
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        raise ValueError("The two systems share no item.")
    pairs = [(first[item], second[item]) for item in shared]
    differences = [b - a for a, b in pairs]
    interval: Interval | CannotTell
    p_value: float | CannotTell
    if all(BINARY.issuperset(pair) for pair in pairs):
        counts = PairedCounts.of([bool(a) for a, _ in pairs], [bool(b) for _, b in pairs])
        interval = paired_newcombe_interval(counts, level)
        p_value = mcnemar_exact(counts.only_first, counts.only_second)
        test = "McNemar, exact"
    else:
        span = value_range.of_differences if value_range else None
        interval = bayesian_mean_interval(differences, span, level=level, seed=seed)
        p_value = wilcoxon_signed_rank(differences)
        test = "Wilcoxon, signed ranks"
    return PairedDifference(
        first=fmean(a for a, _ in pairs),
        second=fmean(b for _, b in pairs),
        interval=interval,
        p_value=p_value,
        test=test,
        count=len(pairs),
        only_first=sum(d < 0 for d in differences),
        only_second=sum(d > 0 for d in differences),
        level=level,
    )


def in_words(difference: PairedDifference, first: str, second: str) -> str:
    """Return what a comparison says, in one or two sentences; "cannot tell" where it cannot."""
    numbers = (
        f"{difference.first:.3f} against {difference.second:.3f} on {difference.count} shared items"
    )
    if isinstance(difference.interval, CannotTell):
        return f"Cannot tell which is better ({numbers}): {difference.interval.reason}."
    span = f"{difference.interval.low:+.3f} to {difference.interval.high:+.3f}"
    level = f"{difference.level:.4%}".rstrip("%").rstrip("0").rstrip(".")
    if difference.is_contradictory:
        return (
            f"Cannot tell which is better ({numbers}): the difference's {level} % interval, "
            f"{span}, leaves out zero, but the test ({difference.test}) has "
            f"p = {difference.p_value:.2f}. More items would decide."
        )
    if not difference.conclusive:
        return (
            f"Cannot tell which is better ({numbers}): the difference's {level} % interval, "
            f"{span}, includes zero. More items would narrow it."
        )
    better, worse = (second, first) if difference.difference > 0 else (first, second)
    return (
        f"{better} is better than {worse} by {abs(difference.difference):.3f} ({numbers}); the "
        f"difference's {level} % interval is {span}."
    )
