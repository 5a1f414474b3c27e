"""Measure a judge's agreement with people, with intervals, beside the best constant answer."""

from dataclasses import dataclass
from enum import StrEnum

from kiln_mcp.judging.label_bases import BasisKind, LabelBasis
from kiln_mcp.labels.label_words import label_text
from kiln_mcp.statistics import (
    CannotTell,
    ConstantAnswer,
    Estimate,
    Interval,
    JudgeEstimates,
    Measure,
    judge_estimates,
    scale_of,
)


class JudgeStanding(StrEnum):
    """What a measurement shows about a judge; the value begins the sentence that describes it."""

    NO_SPREAD = "Cannot tell if this judge is any good, all verdicts and labels are one"
    ONE_LABEL = "Cannot tell if this judge is any good, all labels are the same"
    NO_BETTER = "No better than {constant}"
    NOT_ABOVE_CHANCE = "Not shown to be better than chance"
    ABOVE_CHANCE = "Better than chance, but not shown to beat {constant}"
    BETTER = "Better than {constant}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge's agreement with a person's labels.

    Attributes:
        kind: Whether the labelled items were drawn at random, or picked.
        count: Items with a verdict and a label.
        skips: Items that were drawn and passed over.
        other_labels: Labels of another way of drawing, which do not count here.
        estimates: Every number with its interval.
    """

    kind: BasisKind
    count: int
    skips: int
    other_labels: int
    estimates: JudgeEstimates

    def estimate(self, measure: Measure) -> Estimate:
        """Return one number with its interval.

        Raises:
            KeyError: The scale has no such number.
        """
        return self.estimates.measures[measure]

    @property
    def agreement(self) -> float:
        """The share of items on which they agree."""
        value = self.estimate(Measure.AGREEMENT).value
        return value if isinstance(value, float) else 0.0

    @property
    def interval(self) -> Interval:
        """The 95 % interval of the agreement."""
        interval = self.estimate(Measure.AGREEMENT).interval
        return interval if isinstance(interval, Interval) else Interval(0.0, 1.0)

    @property
    def constant(self) -> ConstantAnswer[float]:
        """The best constant answer, and its agreement."""
        return self.estimates.constant

    @property
    def kappa(self) -> Estimate:
        """Cohen's κ."""
        return self.estimate(Measure.KAPPA)

    @property
    def standing(self) -> JudgeStanding:
        """Return how the judge compares with chance and with the best constant answer."""
        interval = self.kappa.interval
        if isinstance(self.kappa.value, CannotTell) or isinstance(interval, CannotTell):
            return JudgeStanding.NO_SPREAD
        if self.constant.agreement > 1 - 1e-9:
            return JudgeStanding.ONE_LABEL
        if self.agreement <= self.constant.agreement:
            return JudgeStanding.NO_BETTER
        if interval.low <= 0:
            return JudgeStanding.NOT_ABOVE_CHANCE
        advantage = self.estimate(Measure.ADVANTAGE).interval
        is_better = isinstance(advantage, Interval) and advantage.low > 0
        return JudgeStanding.BETTER if is_better else JudgeStanding.ABOVE_CHANCE


def measure(basis: LabelBasis, kind: str, seed: int = 0) -> Agreement:
    """Measure a judge by labels.

    Items that were passed over count as disagreements in values. Intervals span both: that the
    person would have agreed with each, and with none.

    Args:
        basis: The labels.
        kind: The score's kind. A verdict between two of its values stands for the nearest.
        seed: Of the intervals, which are simulated.

    Raises:
        ValueError: There is no label.
    """
    scale = scale_of(kind)
    estimates = judge_estimates(basis.against, scale, seed=seed, table=basis.table)
    if basis.skips:
        estimates = estimates.spanning(judge_estimates(basis.in_favour, scale, seed=seed))
    return Agreement(basis.kind, basis.labels, basis.skips, basis.other_labels, estimates)


def describe(agreement: Agreement, kind: str) -> str:
    """Return a measurement in words: whether the judge is better than a constant answer."""
    constant = f"always answering {label_text(agreement.constant.label, kind)!r}"
    numbers = (
        f"it agrees on {agreement.agreement:.0%} (95 % interval {agreement.interval.low:.0%} to "
        f"{agreement.interval.high:.0%}), {constant} on {agreement.constant.agreement:.0%}"
    )
    standing, interval = agreement.standing, agreement.kappa.interval
    opening = standing.value.format(constant=constant)
    chance = ""
    if (
        standing is not JudgeStanding.ONE_LABEL
        and isinstance(agreement.kappa.value, float)
        and isinstance(interval, Interval)
    ):
        chance = f"; κ = {agreement.kappa.value:.2f}, {interval.low:.2f} to {interval.high:.2f}"
    return f"{opening}: {numbers}{chance}{_notes(agreement)}."


def _notes(agreement: Agreement) -> str:
    notes = "; of items that were picked, and of no others" if agreement.kind == "by hand" else ""
    if agreement.other_labels:
        notes += f"; {agreement.other_labels} labels that were drawn another way are left out"
    if agreement.skips:
        notes += f"; {agreement.skips} drawn items without a label count as disagreements"
    return notes
