"""The agreement of two raters, or of a judge and a person, on the same items."""

import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kiln_mcp.statistics.interval import CannotTell, Interval, check_level
from kiln_mcp.statistics.proportions import percentile_interval

KAPPA_DRAWS = 4_000

LabelT = TypeVar("LabelT", bound=Hashable)
_Cell = tuple[Hashable, Hashable]


@dataclass(frozen=True, slots=True)
class ConstantAnswer(Generic[LabelT]):
    """The answer that agrees most with the labels if it is given for every item.

    Attributes:
        label: The answer.
        agreement: The share of labels that equal it, in (0, 1].
    """

    label: LabelT
    agreement: float


@dataclass(frozen=True, slots=True)
class DetectionCounts:
    """Counts of a judge's verdicts and a person's labels, pass or fail.

    Attributes:
        true_pass: Verdict and label are pass.
        false_pass: The verdict is pass, the label fail.
        true_fail: Verdict and label are fail.
        false_fail: The verdict is fail, the label pass.
    """

    true_pass: int
    false_pass: int
    true_fail: int
    false_fail: int

    @classmethod
    def of(cls, verdicts: Sequence[bool], labels: Sequence[bool]) -> "DetectionCounts":
        """Count verdicts and labels of the same items, in the same order.

        Raises:
            ValueError: The sequences differ in length.
        """
        pairs = list(zip(verdicts, labels, strict=True))
        return cls(
            true_pass=pairs.count((True, True)),
            false_pass=pairs.count((True, False)),
            true_fail=pairs.count((False, False)),
            false_fail=pairs.count((False, True)),
        )

    @property
    def true_positive_rate(self) -> float | CannotTell:
        """Return the share of labelled passes that the judge passes."""
        count = self.true_pass + self.false_fail
        if not count:
            return CannotTell("no item is labelled pass")
        return self.true_pass / count

    @property
    def true_negative_rate(self) -> float | CannotTell:
        """Return the share of labelled fails that the judge fails."""
        count = self.true_fail + self.false_pass
        if not count:
            return CannotTell("no item is labelled fail")
        return self.true_fail / count


@dataclass(frozen=True, slots=True)
class LabelStratum:
    """The labelled part of one stratum of a population.

    Attributes:
        weight: The stratum's size in the population, in any unit.
        first: One rater's labels of the labelled items.
        second: The other rater's, in the same order.
    """

    weight: float
    first: Sequence[Hashable]
    second: Sequence[Hashable]


def percent_agreement(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Return the share of items that two raters label the same, in [0, 1].

    Raises:
        ValueError: The sequences are empty or differ in length.
    """
    _check_pairs(first, second)
    return sum(a == b for a, b in zip(first, second, strict=True)) / len(first)


def best_constant_answer(labels: Sequence[LabelT]) -> ConstantAnswer[LabelT]:
    """Return the answer that agrees most with the labels if it is given for every item.

    A judge that does not beat it has shown nothing.

    Raises:
        ValueError: There are no labels.
    """
    if not labels:
        message = "The best constant answer needs at least one label."
        raise ValueError(message)
    label, count = Counter(labels).most_common(1)[0]
    return ConstantAnswer(label, count / len(labels))


def cohens_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | CannotTell:
    """Return Cohen's κ for two raters' labels of the same items.

    Returns:
        1 for perfect agreement, 0 for chance, below 0 for worse than chance. If both raters give
        every item the same one label, κ is not defined, and the reason is returned.

    Raises:
        ValueError: The sequences are empty or differ in length.

    Source:
        Cohen (1960), A Coefficient of Agreement for Nominal Scales, equation 1.
    """
    _check_pairs(first, second)
    kappa = _kappa(Counter(zip(first, second, strict=True)))
    if kappa is None:
        return CannotTell("both raters give every item the same label")
    return kappa


def kappa_interval(
    first: Sequence[Hashable], second: Sequence[Hashable], level: float = 0.95, seed: int = 0
) -> Interval | CannotTell:
    """Return an interval of Cohen's κ that keeps its coverage with few items.

    κ is computed on draws from the Dirichlet posterior of the table of labels, whose prior weighs
    2 items in all (Jeffreys' prior for two labels). Unlike the large-sample standard error it
    does not shrink to 0 if the raters agree on every item.

    Returns:
        The interval, or the reason why there is none: the two sequences hold only one label.

    Raises:
        ValueError: The sequences are empty or differ in length, or the level is impossible.

    Source:
        The posterior is the textbook one (Gelman et al., Bayesian Data Analysis, section 3.4);
        its coverage here is tested by simulation.
    """
    _check_pairs(first, second)
    return stratified_kappa_interval([LabelStratum(1.0, first, second)], level, seed)


def stratified_kappa(strata: Sequence[LabelStratum]) -> float | CannotTell:
    """Return Cohen's κ of a population, from the labelled items of each stratum.

    Strata without a labelled item are left out.

    Raises:
        ValueError: No item is labelled, or two sequences differ in length.
    """
    kappa = _kappa(_mixture(strata, [_shares(stratum) for stratum in _labelled_strata(strata)]))
    if kappa is None:
        return CannotTell("both raters give every item the same label")
    return kappa


def stratified_kappa_interval(
    strata: Sequence[LabelStratum], level: float = 0.95, seed: int = 0
) -> Interval | CannotTell:
    """Return an interval of the κ of `stratified_kappa`, from the strata's posteriors.

    Raises:
        ValueError: No item is labelled, two sequences differ in length, or the level is
            impossible.
    """
    check_level(level)
    parts = _labelled_strata(strata)
    labels = list(dict.fromkeys(label for s in parts for label in [*s.first, *s.second]))
    if len(labels) < 2:
        return CannotTell("both raters give every item the same label")
    cells = [(a, b) for a in labels for b in labels]
    prior = 2 / len(cells)
    counts = [Counter(zip(s.first, s.second, strict=True)) for s in parts]
    draw = random.Random(seed)
    draws: list[float] = []
    for _ in range(KAPPA_DRAWS):
        tables: list[Mapping[_Cell, float]] = []
        for count in counts:
            table = {cell: draw.gammavariate(count[cell] + prior, 1.0) for cell in cells}
            total = sum(table.values())
            tables.append({cell: weight / total for cell, weight in table.items()})
        kappa = _kappa(_mixture(strata, tables))
        if kappa is not None:
            draws.append(kappa)
    return percentile_interval(sorted(draws), level)


def _labelled_strata(strata: Sequence[LabelStratum]) -> list[LabelStratum]:
    for stratum in strata:
        if len(stratum.first) != len(stratum.second):
            _check_pairs(stratum.first, stratum.second)
    parts = [stratum for stratum in strata if stratum.first]
    if not parts:
        raise ValueError("Agreement needs at least one labelled item.")
    return parts


def _shares(stratum: LabelStratum) -> Mapping[_Cell, float]:
    counts = Counter(zip(stratum.first, stratum.second, strict=True))
    return {cell: count / len(stratum.first) for cell, count in counts.items()}


def _mixture(
    strata: Sequence[LabelStratum], tables: Sequence[Mapping[_Cell, float]]
) -> Mapping[_Cell, float]:
    mixture: dict[_Cell, float] = {}
    for stratum, table in zip(_labelled_strata(strata), tables, strict=True):
        for cell, share in table.items():
            mixture[cell] = mixture.get(cell, 0.0) + stratum.weight * share
    return mixture


def _kappa(table: Mapping[tuple[Hashable, Hashable], float]) -> float | None:
    total = sum(table.values())
    rows: dict[Hashable, float] = {}
    columns: dict[Hashable, float] = {}
    agreement = 0.0
    for (a, b), weight in table.items():
        rows[a] = rows.get(a, 0.0) + weight
        columns[b] = columns.get(b, 0.0) + weight
        agreement += weight if a == b else 0.0
    chance = sum(rows[label] * columns.get(label, 0.0) for label in rows) / total**2
    if 1 - chance < 1e-12:
        return None
    return (agreement / total - chance) / (1 - chance)


def _check_pairs(first: Sequence[Hashable], second: Sequence[Hashable]) -> None:
    if not first or len(first) != len(second):
        message = (
            f"Two raters' labels are compared item by item, so {len(first)} and {len(second)} "
            "labels do not fit."
        )
        raise ValueError(message)
