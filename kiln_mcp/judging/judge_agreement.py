"""Measure a judge's agreement with people, with intervals, beside the best constant answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from kiln_mcp.labels.label_words import label_text
from kiln_mcp.labels.ledger import LabelledVerdict
from kiln_mcp.statistics import (
    CannotTell,
    ConstantAnswer,
    DetectionCounts,
    Interval,
    LabelStratum,
    PairedCounts,
    Stratum,
    kendall_tau_b,
    mean_absolute_error,
    paired_newcombe_interval,
    post_stratified_difference,
    post_stratified_estimate,
    post_stratified_interval,
    stratified_kappa,
    stratified_kappa_interval,
    wilson_interval,
)

MIDDLE = {"pass_fail": 0.5, "pass_fail_critical": 0.5}
"""The score from which on an output passes, by the kinds of score that tell pass from fail."""


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
        count: Items with a verdict and a label.
        agreement: The share of items on which they agree, weighted by stratum if drawn so.
        interval: Its 95 % interval.
        weighted: Whether labels were drawn by stratum and weighted.
        constant: The best constant answer, and its agreement.
        kappa: Cohen's κ, or why there is none.
        kappa_interval: Its 95 % interval, or why there is none.
        rates: True and false passes and fails; None for stars.
        tau_b: Kendall's τ-b of the raw scores, or why there is none.
        mean_error: Mean distance of score and label.
        bias: The judge's mean score less the labels'.
        beats_constant: 95 % interval of the judge's agreement less the constant answer's.
    """

    count: int
    agreement: float
    interval: Interval
    weighted: bool
    constant: ConstantAnswer[float]
    kappa: float | CannotTell
    kappa_interval: Interval | CannotTell
    rates: DetectionCounts | None
    tau_b: float | CannotTell
    mean_error: float
    bias: float
    beats_constant: Interval

    @property
    def standing(self) -> JudgeStanding:
        """Return how the judge compares with chance and with the best constant answer."""
        interval = self.kappa_interval
        if isinstance(self.kappa, CannotTell) or isinstance(interval, CannotTell):
            return JudgeStanding.NO_SPREAD
        if self.constant.agreement > 1 - 1e-9:
            return JudgeStanding.ONE_LABEL
        if self.agreement <= self.constant.agreement:
            return JudgeStanding.NO_BETTER
        if interval.low <= 0:
            return JudgeStanding.NOT_ABOVE_CHANCE
        return JudgeStanding.ABOVE_CHANCE if self.beats_constant.low <= 0 else JudgeStanding.BETTER


def measure(
    pairs: Sequence[LabelledVerdict],
    kind: str,
    strata: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Agreement:
    """Measure a judge on labelled items.

    Args:
        pairs: The items.
        kind: The score's kind. Pass and fail are told apart in the middle; stars are rounded.
        strata: Sizes of the strata in the whole golden set, if every item was drawn from one.
        seed: Of the intervals that are simulated.

    Raises:
        ValueError: There is no item.
    """
    parts = _by_stratum(pairs, kind, strata)
    verdicts = [verdict for part in parts for verdict in part.verdicts]
    labels = [label for part in parts for label in part.labels]
    constant = _best_constant(parts)
    right = [Stratum(part.size, part.agreements, part.count) for part in parts]
    against = [(part.size, part.against(constant.label)) for part in parts]
    tables = [LabelStratum(part.size, part.verdicts, part.labels) for part in parts]
    raw = [pair.verdict for pair in pairs], [pair.label for pair in pairs]
    weighted = len(parts) > 1
    return Agreement(
        count=len(pairs),
        agreement=post_stratified_estimate(right),
        interval=(
            post_stratified_interval(right, seed=seed)
            if weighted
            else wilson_interval(right[0].successes, right[0].total)
        ),
        weighted=weighted,
        constant=constant,
        kappa=stratified_kappa(tables),
        kappa_interval=stratified_kappa_interval(tables, seed=seed),
        rates=_rates(verdicts, labels) if kind in MIDDLE else None,
        tau_b=kendall_tau_b(*raw),
        mean_error=mean_absolute_error(*raw),
        bias=fmean(raw[0]) - fmean(raw[1]),
        beats_constant=(
            post_stratified_difference(against, seed=seed)
            if weighted
            else paired_newcombe_interval(against[0][1])
        ),
    )


def describe(agreement: Agreement, kind: str) -> str:
    """Return a measurement in words: whether the judge is better than a constant answer."""
    constant = f"always answering {label_text(agreement.constant.label, kind)!r}"
    numbers = (
        f"it agrees on {agreement.agreement:.0%} (95 % interval {agreement.interval.low:.0%} to "
        f"{agreement.interval.high:.0%}), {constant} on {agreement.constant.agreement:.0%}"
    )
    standing, interval = agreement.standing, agreement.kappa_interval
    opening = standing.value.format(constant=constant)
    if (
        standing is JudgeStanding.ONE_LABEL
        or isinstance(agreement.kappa, CannotTell)
        or isinstance(interval, CannotTell)
    ):
        return f"{opening}: {numbers}."
    chance = f"κ = {agreement.kappa:.2f}, {interval.low:.2f} to {interval.high:.2f}"
    return f"{opening}: {numbers}; {chance}."


def _verdict(score: float, kind: str) -> float:
    if kind == "pass_fail":
        return 1.0 if score >= MIDDLE[kind] else 0.0
    return float(round(score))


def _rates(verdicts: Sequence[float], labels: Sequence[float]) -> DetectionCounts:
    return DetectionCounts.of([value >= 0.5 for value in verdicts], [v >= 0.5 for v in labels])


@dataclass(frozen=True, slots=True)
class _Part:
    """The labelled items of one stratum, with verdicts and labels in the same order."""

    size: float
    verdicts: tuple[float, ...]
    labels: tuple[float, ...]

    @property
    def count(self) -> int:
        return len(self.labels)

    @property
    def agreements(self) -> int:
        return sum(a == b for a, b in zip(self.verdicts, self.labels, strict=True))

    def against(self, constant: float) -> PairedCounts:
        """Count the constant answer's right answers (first) beside the judge's (second)."""
        return PairedCounts.of(
            [label == constant for label in self.labels],
            [a == b for a, b in zip(self.verdicts, self.labels, strict=True)],
        )


def _by_stratum(
    pairs: Sequence[LabelledVerdict], kind: str, sizes: Mapping[str, int] | None
) -> list[_Part]:
    """Return the items by stratum; as one stratum if an item was not drawn from one."""
    if not pairs:
        raise ValueError("Agreement needs at least one labelled item.")
    is_stratified = bool(sizes) and all(pair.stratum in (sizes or {}) for pair in pairs)
    names = sorted({pair.stratum or "" for pair in pairs}) if is_stratified else [None]
    parts: list[_Part] = []
    for name in names:
        own = [pair for pair in pairs if name is None or pair.stratum == name]
        size = (sizes or {}).get(name, 0) if name is not None else len(own)
        parts.append(
            _Part(
                size=max(size, len(own)),
                verdicts=tuple(_verdict(pair.verdict, kind) for pair in own),
                labels=tuple(_verdict(pair.label, kind) for pair in own),
            )
        )
    return parts


def _best_constant(parts: Sequence[_Part]) -> ConstantAnswer[float]:
    shares: dict[float, float] = {}
    total = sum(part.size for part in parts)
    for part in parts:
        for label in part.labels:
            share = part.size / total / part.count
            shares[label] = shares.get(label, 0.0) + share
    best = max(shares, key=lambda label: (shares[label], label))
    return ConstantAnswer(best, min(1.0, shares[best]))
