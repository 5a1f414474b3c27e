"""Correct a rate by people's labels: those that were drawn at random among the same outputs.

A judge may be wrong in both directions, so its rate is off by more than its interval. Within a
stratum of a draw, and of the judge's verdict, the labels are a random sample: what they say holds
for the outputs of that stratum that nobody labelled. Labels that were picked by hand are known
answers of their own items and say nothing of others. Labels of other outputs are not used.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final, TypeAlias

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.peoples_labels import (
    NO_LABELS,
    LabelCounts,
    PeoplesLabels,
    labels_of,
    strata_of_draws,
)
from kiln_mcp.evals.rates import ItemVerdicts
from kiln_mcp.labels.golden_set import open_golden_set
from kiln_mcp.statistics import CannotTell, Interval
from kiln_mcp.statistics.claim_levels import ALL_CLAIMS
from kiln_mcp.statistics.stratified_posterior import (
    RATE_STOPPING_LEVEL,
    Estimate,
    ShareStratum,
    share_estimate,
)
from storage.errors import Refusal


@dataclass(frozen=True, slots=True)
class CorrectedRate:
    """A rate as labels correct it, or why they do not.

    Attributes:
        counts: The labels of these outputs.
        share: The share of failures; None if labels do not correct it.
        interval: Its 95 % interval, or why there is none.
    """

    counts: LabelCounts
    share: float | None
    interval: Interval | CannotTell


Cell: TypeAlias = tuple[object, ...]
"""A verdict, and the strata in which its items could be drawn."""
FEWEST_IN_SLICE: Final = 5
"""Drawn labels below which the rate of a slice is not corrected."""


@dataclass(frozen=True, slots=True)
class LabelledOutputs:
    """Outputs with an evaluator's verdicts, people's labels, and the strata of their draws.

    Attributes:
        verdicts: What the evaluator says.
        labels: What people say.
        strata: Of each item, those in which it could be drawn.
    """

    verdicts: ItemVerdicts
    labels: PeoplesLabels
    strata: Mapping[str, tuple[str, ...]]

    @property
    def gap(self) -> str:
        """Why labels do not correct the rate, in words; "" if they do."""
        counts, values = self.labels.counts, self.verdicts.values
        if not any((counts.drawn, counts.hand_labels, counts.skipped, counts.waiting_labels)):
            return "no person has labelled these outputs"
        if not counts.drawn:
            return "no label is of an output that was drawn at random"
        outside = len(values.keys() - self.labels.pool)
        if outside:
            return (
                f"they were drawn from the golden set, which lacks {outside} of these "
                f"{len(values)} outputs"
            )
        return ""

    def rate(self, seed: int = 0, error: float = ALL_CLAIMS) -> CorrectedRate:
        """Return the rate of failures of all, or why it is not corrected."""
        counts = self.labels.counts
        if gap := self.gap:
            return CorrectedRate(counts, None, CannotTell(gap))
        level = 1 - error / ALL_CLAIMS * (1 - RATE_STOPPING_LEVEL)
        estimate = corrected_share(self.verdicts, self.labels, self.strata, seed, level)
        share = None if isinstance(estimate.value, CannotTell) else estimate.value
        return CorrectedRate(counts, share, estimate.interval)

    def rate_among(self, items: Set[str], seed: int = 0) -> CorrectedRate:
        """Return the rate of failures of some of them.

        A cell of them is expected beforehand to fail half-way between one half and the share of the
        rest of the cell. So intervals cover 97 to 99 % where slices fail 1.5 times as often.
        """
        own = LabelledOutputs(self.verdicts.among([*items]), self.labels.among(items), self.strata)
        counts = own.labels.counts
        if gap := self.gap:
            return CorrectedRate(counts, None, CannotTell(gap))
        if counts.drawn < FEWEST_IN_SLICE:
            reason = f"{counts.drawn} drawn labels are too few"
            return CorrectedRate(counts, None, CannotTell(reason))
        centres = _cell_centres(self, without=items)
        estimate = corrected_share(
            own.verdicts, own.labels, self.strata, seed, RATE_STOPPING_LEVEL, centres
        )
        share = None if isinstance(estimate.value, CannotTell) else estimate.value
        return CorrectedRate(counts, share, estimate.interval)


async def correct_rate(
    measurement: Measurement, verdicts: ItemVerdicts, seed: int = 0, error: float = ALL_CLAIMS
) -> CorrectedRate:
    """Return the rate of failures among outputs with verdicts, as people's labels correct it.

    Args:
        measurement: The eval with its evaluator.
        verdicts: What the evaluator says of the outputs.
        seed: Of the interval.
        error: The probability that the interval is wrong.
    """
    return (await read_labelled_outputs(measurement, verdicts)).rate(seed, error)


async def read_labelled_outputs(
    measurement: Measurement, verdicts: ItemVerdicts
) -> LabelledOutputs:
    """Read what people said of outputs with verdicts, and the strata that they were drawn in."""
    try:
        golden_set = await open_golden_set(measurement.store, measurement.task_eval)
    except Refusal:
        return LabelledOutputs(verdicts, NO_LABELS, {})
    labels = labels_of(measurement, golden_set, verdicts)
    strata: Mapping[str, tuple[str, ...]] = {}
    if labels.drawn:
        strata = await strata_of_draws(measurement, golden_set, labels.draws, verdicts)
    return LabelledOutputs(verdicts, labels, strata)


def corrected_share(
    verdicts: ItemVerdicts,
    labels: PeoplesLabels,
    strata: Mapping[str, tuple[str, ...]],
    seed: int,
    level: float = RATE_STOPPING_LEVEL,
    centres: Mapping[Cell, float] | None = None,
) -> Estimate:
    """Return the share of failures with its interval; skipped items widen it both ways.

    Args:
        verdicts: What the evaluator says.
        labels: What people say.
        strata: Of each item, those in which it could be drawn.
        seed: Of the interval.
        level: Of the interval.
        centres: What is expected of the items of a cell; one half without them.
    """
    cells = _cells(verdicts, labels, strata)
    groups = [(items, (centres or {}).get(cell, 0.5)) for cell, items in cells.items()]
    groups.append(([*labels.known_answers], 0.5))

    def estimate(answers: Mapping[str, bool]) -> Estimate:
        strata = [
            ShareStratum(
                size=len(items),
                labels=sum(item in answers for item in items),
                successes=sum(answers.get(item, False) for item in items),
                centre=centre,
            )
            for items, centre in groups
            if items
        ]
        return share_estimate(strata, level, seed)

    answers = {**labels.drawn, **labels.known_answers}
    result = estimate(answers)
    if not labels.skipped:
        return result
    passes = estimate({**answers, **dict.fromkeys(labels.skipped, False)})
    fails = estimate({**answers, **dict.fromkeys(labels.skipped, True)})
    return Estimate(result.value, _hull([result.interval, passes.interval, fails.interval]))


def _cells(
    verdicts: ItemVerdicts, labels: PeoplesLabels, strata: Mapping[str, tuple[str, ...]]
) -> Mapping[Cell, list[str]]:
    """Return the items by verdict and strata, in each of which labels are a random sample."""
    cells: dict[Cell, list[str]] = defaultdict(list)
    for item in verdicts.values:
        if item not in labels.known_answers:
            own = round(verdicts.values[item])
            cells[(own, *strata.get(item, ()))].append(item)
    return cells


def _cell_centres(outputs: LabelledOutputs, without: Set[str]) -> Mapping[Cell, float]:
    """Return the share of failures that is expected in each cell, from all but some items.

    They are left out so that no label counts twice.
    """
    drawn = {item: fails for item, fails in outputs.labels.drawn.items() if item not in without}
    cells = _cells(outputs.verdicts, outputs.labels, outputs.strata)
    centres: dict[Cell, float] = {}
    for cell, items in cells.items():
        answers = [drawn[item] for item in items if item in drawn]
        centres[cell] = ((sum(answers) + 0.5) / (len(answers) + 1) + 0.5) / 2
    return centres


def _hull(intervals: Sequence[Interval | CannotTell]) -> Interval | CannotTell:
    """Return the interval from the lowest end to the highest."""
    numbers = [interval for interval in intervals if isinstance(interval, Interval)]
    if not numbers:
        return CannotTell("the labels do not tell")
    low, high = min(i.low for i in numbers), max(i.high for i in numbers)
    return Interval(low, high, numbers[0].level)
