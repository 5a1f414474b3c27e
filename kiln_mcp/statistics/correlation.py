"""Correlations of two raters' scores: Pearson, Spearman and Kendall's τ-b."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from math import isfinite, sqrt
from statistics import fmean

from kiln_mcp.statistics.interval import CannotTell


def pearson(first: Sequence[float], second: Sequence[float]) -> float | CannotTell:
    """Return Pearson's correlation of two raters' scores of the same items, in [-1, 1].

    Returns:
        The correlation, or the reason why it is not defined: fewer than 2 items, a score that is
        no finite number, or one rater's scores are all the same.

    Raises:
        ValueError: The sequences differ in length.

    Source:
        Pearson (1895), Note on Regression and Inheritance in the Case of Two Parents.
    """
    problem = _find_problem(first, second)
    if problem:
        return problem
    mean_first, mean_second = fmean(first), fmean(second)
    from_first = [value - mean_first for value in first]
    from_second = [value - mean_second for value in second]
    spread = sqrt(sum(v * v for v in from_first)) * sqrt(sum(v * v for v in from_second))
    if spread == 0:
        return CannotTell("the scores differ by less than a float can hold")
    product = sum(a * b for a, b in zip(from_first, from_second, strict=True))
    return max(-1.0, min(1.0, product / spread))


def spearman(first: Sequence[float], second: Sequence[float]) -> float | CannotTell:
    """Return Spearman's rank correlation, with the mean rank for ties, in [-1, 1].

    Returns:
        The correlation, or the reason why it is not defined: fewer than 2 items, a score that is
        no finite number, or one rater's scores are all the same.

    Raises:
        ValueError: The sequences differ in length.

    Source:
        Spearman (1904), The Proof and Measurement of Association Between Two Things.
    """
    problem = _find_problem(first, second)
    if problem:
        return problem
    return pearson(_ranks(first), _ranks(second))


def kendall_tau_b(first: Sequence[float], second: Sequence[float]) -> float | CannotTell:
    """Return Kendall's τ-b, which allows for ties, in [-1, 1].

    Time grows with the square of the number of different pairs of scores.

    Returns:
        The correlation, or the reason why it is not defined: fewer than 2 items, a score that is
        no finite number, or one rater's scores are all the same.

    Raises:
        ValueError: The sequences differ in length.

    Source:
        Kendall (1945), The Treatment of Ties in Ranking Problems.
    """
    problem = _find_problem(first, second)
    if problem:
        return problem
    cells = Counter(zip(first, second, strict=True))
    balance = 0
    for ((a, b), count), ((c, d), other) in combinations(cells.items(), 2):
        balance += count * other * _sign(a - c) * _sign(b - d)
    pairs = len(first) * (len(first) - 1) // 2
    untied_first, untied_second = pairs - _count_ties(first), pairs - _count_ties(second)
    tau = balance / (sqrt(untied_first) * sqrt(untied_second))
    return max(-1.0, min(1.0, tau))


def _find_problem(first: Sequence[float], second: Sequence[float]) -> CannotTell | None:
    if len(first) != len(second):
        message = f"{len(first)} scores cannot be compared with {len(second)}."
        raise ValueError(message)
    if len(first) < 2:
        return CannotTell("a correlation needs at least 2 items")
    if not all(map(isfinite, (*first, *second))):
        return CannotTell("a score is not a finite number")
    if min(first) == max(first) or min(second) == max(second):
        return CannotTell("one side gives every item the same score")
    return None


def _ranks(values: Sequence[float]) -> list[float]:
    ranks: dict[float, float] = {}
    passed = 0
    for value, count in sorted(Counter(values).items()):
        ranks[value] = passed + (count + 1) / 2
        passed += count
    return [ranks[value] for value in values]


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _count_ties(values: Sequence[float]) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(values).values())
