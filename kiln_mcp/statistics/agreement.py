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


@dataclass(frozen=True, slots=True)
class ConstantAnswer(Generic[LabelT]):
    """The answer that agrees most with the labels if it is given for every item.

    Attributes:
        label: The answer.
        agreement: The share of labels that equal it, in (0, 1].
    """

    label: LabelT
    agreement: float


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
    check_level(level)
    labels = list(dict.fromkeys([*first, *second]))
    if len(labels) < 2:
        return CannotTell("both raters give every item the same label")
    cells = [(a, b) for a in labels for b in labels]
    counts = Counter(zip(first, second, strict=True))
    draw, prior = random.Random(seed), 2 / len(cells)
    draws: list[float] = []
    for _ in range(KAPPA_DRAWS):
        kappa = _kappa({cell: draw.gammavariate(counts[cell] + prior, 1.0) for cell in cells})
        if kappa is not None:
            draws.append(kappa)
    return percentile_interval(sorted(draws), level)


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
