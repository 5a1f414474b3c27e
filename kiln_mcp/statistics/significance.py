"""Tests of the hypothesis that two systems do equally well on the same items; Holm's correction."""

from collections.abc import Sequence

from kiln_mcp.statistics.interval import CannotTell


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value of McNemar's test, in (0, 1].

    Args:
        only_first: Items that only the first system passed.
        only_second: Items that only the second system passed.

    Returns:
        1 if the systems differ on no item.

    Raises:
        ValueError: A count is below 0.

    Source:
        McNemar (1947), Note on the Sampling Error of the Difference Between Correlated
        Proportions; exact through the binomial distribution.
    """
    if only_first < 0 or only_second < 0:
        message = f"Counts are not below 0: {only_first}, {only_second}."
        raise ValueError(message)
    total, smaller = only_first + only_second, min(only_first, only_second)
    ways = combinations = 1
    for k in range(smaller):
        combinations = combinations * (total - k) // (k + 1)
        ways += combinations
    return min(1.0, 2 * ways / 2**total)


def sign_test(differences: Sequence[float]) -> float:
    """Return the exact two-sided p-value of the sign test, without zeros, in (0, 1].

    Source:
        Conover (1999), Practical Nonparametric Statistics, section 3.4.
    """
    return mcnemar_exact(sum(d < 0 for d in differences), sum(d > 0 for d in differences))


def wilcoxon_signed_rank(differences: Sequence[float]) -> float | CannotTell:
    """Return the two-sided p-value of Wilcoxon's signed-rank test, without zeros, in (0, 1].

    Returns:
        The p-value, or the reason why there is none: no item differs.

    Source:
        Wilcoxon (1945), Individual Comparisons by Ranking Methods; computed by scipy.
    """
    unequal = [difference for difference in differences if difference != 0]
    if not unequal:
        return CannotTell("the two sides have the same score on every item")
    from scipy.stats import wilcoxon  # imported late: costs a second

    return min(1.0, float(wilcoxon(unequal).pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for several comparisons, in the order of the arguments.

    Each is at least the original one and at most 1.

    Raises:
        ValueError: A p-value lies outside [0, 1].

    Source:
        Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.
    """
    if any(not 0 <= p <= 1 for p in p_values):
        message = f"p-values lie between 0 and 1: {list(p_values)}."
        raise ValueError(message)
    corrections = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrections[place] = largest
    return corrections
