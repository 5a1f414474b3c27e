"""How far a judge agrees with people: numbers with intervals, beside the best constant answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from kiln_mcp.labels.ledger import LabelledVerdict
from kiln_mcp.labels.values import label_text
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


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a judge agrees with a person's labels.

    Attributes:
        count: Items with a verdict and a label.
        agreement: The share of items on which they agree, weighted by stratum where drawn so.
        interval: Its 95 % interval.
        weighted: Whether labels were drawn by stratum and weighted.
        constant: The best constant answer, and how far it agrees.
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


def measure(
    pairs: Sequence[LabelledVerdict],
    kind: str,
    strata: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Agreement:
    """Measure a judge on labelled items.

    Args:
        pairs: The items.
        kind: The score's kind; pass and fail are told apart in the middle, stars are rounded.
        strata: Sizes of the strata in the whole pool, where every item was drawn from one.
        seed: Of the intervals that are simulated.

    Raises:
        ValueError: There is no item.
    """
    known = _by_stratum(pairs, kind, strata)
    judged = [verdict for stratum in known for verdict in stratum.judged]
    labelled = [label for stratum in known for label in stratum.labelled]
    constant = _best_constant(known)
    right = [Stratum(s.size, s.agreeing(s.judged), s.count) for s in known]
    against = [(s.size, s.against(constant.label)) for s in known]
    tables = [LabelStratum(s.size, s.judged, s.labelled) for s in known]
    raw = [pair.judged for pair in pairs], [pair.labelled for pair in pairs]
    one = len(known) == 1
    return Agreement(
        count=len(pairs),
        agreement=post_stratified_estimate(right),
        interval=(
            wilson_interval(right[0].successes, right[0].total)
            if one
            else post_stratified_interval(right, seed=seed)
        ),
        weighted=not one,
        constant=constant,
        kappa=stratified_kappa(tables),
        kappa_interval=stratified_kappa_interval(tables, seed=seed),
        rates=_rates(judged, labelled) if kind in MIDDLE else None,
        tau_b=kendall_tau_b(*raw),
        mean_error=mean_absolute_error(*raw),
        bias=fmean(raw[0]) - fmean(raw[1]),
        beats_constant=(
            paired_newcombe_interval(against[0][1])
            if one
            else post_stratified_difference(against, seed=seed)
        ),
    )


def in_words(measured: Agreement, kind: str) -> str:
    """Return what a measurement says of a judge, in one or two sentences."""
    always = f"always answering {label_text(measured.constant.label, kind)!r}"
    numbers = (
        f"it agrees on {measured.agreement:.0%} (95 % interval {measured.interval.low:.0%} to "
        f"{measured.interval.high:.0%}), {always} on {measured.constant.agreement:.0%}"
    )
    if isinstance(measured.kappa, CannotTell) or isinstance(measured.kappa_interval, CannotTell):
        return f"Cannot tell what this judge is worth, all verdicts and labels are one: {numbers}."
    if measured.constant.agreement > 1 - 1e-9:
        return f"Cannot tell what this judge is worth, all labels are the same: {numbers}."
    low, high = measured.kappa_interval.low, measured.kappa_interval.high
    chance = f"κ = {measured.kappa:.2f}, {low:.2f} to {high:.2f}"
    if measured.agreement <= measured.constant.agreement:
        return f"No better than {always}: {numbers}; {chance}."
    if measured.kappa_interval.low <= 0:
        return f"Not shown to be better than chance: {numbers}; {chance}."
    if measured.beats_constant.low <= 0:
        return f"Better than chance, but not shown to beat {always}: {numbers}; {chance}."
    return f"Better than {always}: {numbers}; {chance}."


def _verdict(score: float, kind: str) -> float:
    if kind == "pass_fail":
        return 1.0 if score >= MIDDLE[kind] else 0.0
    return float(round(score))


def _rates(judged: Sequence[float], labelled: Sequence[float]) -> DetectionCounts:
    return DetectionCounts.of([v >= 0.5 for v in judged], [v >= 0.5 for v in labelled])


@dataclass(frozen=True, slots=True)
class _Known:
    """The labelled items of one stratum."""

    size: float
    judged: tuple[float, ...]
    labelled: tuple[float, ...]

    @property
    def count(self) -> int:
        return len(self.labelled)

    def agreeing(self, answers: Sequence[float]) -> int:
        return sum(a == b for a, b in zip(answers, self.labelled, strict=True))

    def against(self, constant: float) -> PairedCounts:
        """Count the constant answer's right answers (first) beside the judge's (second)."""
        return PairedCounts.of(
            [label == constant for label in self.labelled],
            [a == b for a, b in zip(self.judged, self.labelled, strict=True)],
        )


def _by_stratum(
    pairs: Sequence[LabelledVerdict], kind: str, sizes: Mapping[str, int] | None
) -> list[_Known]:
    """Return the items by stratum; as one stratum where an item was not drawn from one."""
    if not pairs:
        raise ValueError("Agreement needs at least one labelled item.")
    drawn = bool(sizes) and all(pair.stratum in (sizes or {}) for pair in pairs)
    names = sorted({pair.stratum or "" for pair in pairs}) if drawn else [None]
    known: list[_Known] = []
    for name in names:
        own = [pair for pair in pairs if name is None or pair.stratum == name]
        size = (sizes or {}).get(name, 0) if name is not None else len(own)
        known.append(
            _Known(
                size=max(size, len(own)),
                judged=tuple(_verdict(pair.judged, kind) for pair in own),
                labelled=tuple(_verdict(pair.labelled, kind) for pair in own),
            )
        )
    return known


def _best_constant(known: Sequence[_Known]) -> ConstantAnswer[float]:
    shares: dict[float, float] = {}
    total = sum(stratum.size for stratum in known)
    for stratum in known:
        for label in stratum.labelled:
            share = stratum.size / total / stratum.count
            shares[label] = shares.get(label, 0.0) + share
    best = max(shares, key=lambda label: (shares[label], label))
    return ConstantAnswer(best, min(1.0, shares[best]))
