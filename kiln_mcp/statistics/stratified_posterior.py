"""Estimates of a pool from the labels of its strata: every number with its interval.

Items of one stratum are drawn evenly; strata may be drawn with any probabilities, even such as
depend on earlier labels. Each stratum weighs by its size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Final

from kiln_mcp.statistics.agreement import ConstantAnswer
from kiln_mcp.statistics.interval import CannotTell, Interval, check_level
from kiln_mcp.statistics.scales import Measure, Scale
from kiln_mcp.statistics.unbiased_table import Cell

if TYPE_CHECKING:
    from kiln_mcp.statistics.verdict_tables import Floats

DRAWS: Final = 2_000
SHARE_DRAWS: Final = 8_000
STOPPING_LEVEL: Final = 0.975
"""The level of an interval at which one may stop, so that it still covers with 95 %."""
RATE_STOPPING_LEVEL: Final = 0.965
"""The same for the rate of passes."""
FEWEST_LABELS_TO_STOP: Final = 30
SPREAD_OF_STRATA: Final = 1.5
MOST_SPREAD: Final = 1.5


@dataclass(frozen=True, slots=True)
class PairStratum:
    """The labelled items of one stratum.

    Attributes:
        size: Items of the pool in it.
        pairs: Verdict and label of each labelled item.
        verdict: The verdict of all its items; None if they differ.
    """

    size: float
    pairs: Sequence[tuple[float, float]]
    verdict: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number of the pool.

    Attributes:
        value: The number, or why it cannot be told.
        interval: Its interval, or why there is none.
    """

    value: float | CannotTell
    interval: Interval | CannotTell

    def spanning(self, other: "Estimate") -> "Estimate":
        """Return this number with an interval that spans another's too."""
        intervals = [i for i in (self.interval, other.interval) if isinstance(i, Interval)]
        if not intervals:
            return self
        low, high = min(i.low for i in intervals), max(i.high for i in intervals)
        return Estimate(self.value, Interval(low, high, intervals[0].level))


@dataclass(frozen=True, slots=True)
class JudgeEstimates:
    """How a judge's verdicts of a pool compare with people's labels.

    Attributes:
        constant: The constant answer that agrees most, and its agreement.
        measures: By measure. Rates are there if the scale tells pass from fail.
        chance_probability: The posterior probability that the judge is no better than chance.
    """

    constant: ConstantAnswer[float]
    measures: Mapping[Measure, Estimate]
    chance_probability: float

    def spanning(self, other: "JudgeEstimates") -> "JudgeEstimates":
        """Return these values, with intervals that span those of other estimates too."""
        return JudgeEstimates(
            constant=self.constant,
            measures={
                measure: estimate.spanning(other.measures[measure])
                for measure, estimate in self.measures.items()
            },
            chance_probability=max(self.chance_probability, other.chance_probability),
        )


@dataclass(frozen=True, slots=True)
class ShareStratum:
    """The labelled items of one stratum, each a success or not.

    Attributes:
        size: Items of the pool in it.
        labels: Labelled items.
        successes: Those of them that count.
        centre: The mean of the prior.
        strength: How many labels the prior weighs.
    """

    size: int
    labels: int
    successes: int
    centre: float = 0.5
    strength: float = 1.0


def judge_estimates(
    strata: Sequence[PairStratum],
    scale: Scale,
    level: float = 0.95,
    seed: int = 0,
    table: Mapping[Cell, float] | None = None,
) -> JudgeEstimates:
    """Return every number that compares a judge with labels.

    Values weigh each stratum's labelled items by its size, or come from a table. Intervals are read
    from draws of the posterior: one Dirichlet distribution a stratum over its table of verdicts and
    labels. Its prior weighs 2 items in all strata together, spread evenly over the cells that can
    occur. If earlier labels chose the strata, few labels a stratum tell less than that posterior
    says: at 30 labels in 6 strata its 95 % intervals covered 85 to 96 %. With a table, draws
    therefore lie 1 + 1.5 · strata / labels times as far from their mean, at most 1.5 times.

    Args:
        strata: The labelled items.
        scale: The scale of the labels.
        level: Nominal coverage of each interval.
        seed: The same seed gives the same intervals.
        table: The shares of the pool by verdict and label, if strata were drawn by what earlier
            labels said; see `unbiased_table`.

    Raises:
        ValueError: No item is labelled, a label is none of the scale, or the level is impossible.
    """
    check_level(level)
    from kiln_mcp.statistics.posterior_draws import drawn_tables, plain_tables, table_of

    if not any(stratum.pairs for stratum in strata):
        raise ValueError("Agreement needs at least one labelled item.")
    if any(label not in scale.values for stratum in strata for _, label in stratum.pairs):
        raise ValueError(f"A label is none of {scale.values}.")
    plain = table_of(table, scale) if table else plain_tables(strata, scale)
    shares = plain.label_shares()
    best = max(shares, key=lambda label: (round(shares[label], 9), label))
    constant = ConstantAnswer(best, min(1.0, shares[best]))
    values = plain.measure(best)
    tables = drawn_tables(strata, scale, DRAWS, seed)
    kappas = tables.measure(best)[Measure.KAPPA]
    draws = tables.spread_out(_spread(strata) if table else 1.0).measure(best)
    return JudgeEstimates(
        constant=constant,
        measures={
            measure: _estimate(measure.within(float(values[measure][0])), draws[measure], level)
            for measure in values
        },
        chance_probability=float((kappas <= 0).mean()),
    )


def _spread(strata: Sequence[PairStratum]) -> float:
    """Return how many times as far from their mean the draws of the posterior are taken."""
    labels = sum(len(stratum.pairs) for stratum in strata)
    return min(MOST_SPREAD, 1 + SPREAD_OF_STRATA * len(strata) / labels)


def share_estimate(strata: Sequence[ShareStratum], level: float = 0.95, seed: int = 0) -> Estimate:
    """Return the share of a finite pool that counts, such as an agreement or a pass rate.

    Labelled items are known. Only the rest of each stratum is predicted, from the posterior of its
    share.

    Raises:
        ValueError: There is no stratum, or its counts or the level are impossible.
    """
    check_level(level)
    import numpy as np

    if not strata or any(not 0 <= s.successes <= s.labels <= s.size for s in strata):
        raise ValueError("A share needs strata with successes among labels among items.")
    draw = np.random.default_rng(seed)
    total = sum(stratum.size for stratum in strata)
    counts = np.zeros(SHARE_DRAWS)
    for s in strata:
        alpha = s.successes + s.strength * s.centre
        beta = s.labels - s.successes + s.strength * (1 - s.centre)
        shares = draw.beta(alpha, beta, SHARE_DRAWS)
        counts += s.successes + draw.binomial(s.size - s.labels, shares)
    value = sum(s.size * _share(s) for s in strata) / total
    low, high = np.quantile(counts / total, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, Interval(min(float(low), value), max(float(high), value), level))


def agreement_strata(
    sizes: Sequence[int], labels: Sequence[int], agreements: Sequence[int], priors: Sequence[float]
) -> list[ShareStratum]:
    """Return strata with the prior of agreements: the panel's, the pooled share, and one half.

    The interval of `share_estimate` at `STOPPING_LEVEL` then covers with 95 % even if labelling
    stops once it is narrow enough, from `FEWEST_LABELS_TO_STOP` on.
    """
    pooled_share = (sum(agreements) + 1) / (sum(labels) + 2)
    return [
        ShareStratum(size, count, right, centre=(prior + pooled_share + 0.5) / 3, strength=2.0)
        for size, count, right, prior in zip(sizes, labels, agreements, priors, strict=True)
    ]


def _share(stratum: ShareStratum) -> float:
    return stratum.successes / stratum.labels if stratum.labels else stratum.centre


def _estimate(value: float, draws: "Floats", level: float) -> Estimate:
    """Return a number with its interval; NaN is no number."""
    import numpy as np

    if isnan(value):
        reason = "verdicts and labels do not vary enough to tell"
        return Estimate(CannotTell(reason), CannotTell(reason))
    numbers = draws[~np.isnan(draws)]
    if not len(numbers):
        return Estimate(value, CannotTell("verdicts and labels do not vary enough to tell"))
    low, high = np.quantile(numbers, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, Interval(min(float(low), value), max(float(high), value), level))
