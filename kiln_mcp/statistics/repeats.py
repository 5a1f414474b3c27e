"""Rates of items with several outputs: each item counts once, however many outputs it has."""

from collections.abc import Sequence
from math import comb
from statistics import NormalDist, fmean

from kiln_mcp.statistics.interval import CannotTell, Interval, check_level
from kiln_mcp.statistics.proportions import score_interval


def pass_all_rate(passes: int, outputs: int, size: int) -> float:
    """Return the chance that all of some outputs pass, drawn from those of one item (pass^k).

    Args:
        passes: Outputs that pass.
        outputs: Outputs of the item.
        size: How many are drawn, at most `outputs`.

    Raises:
        ValueError: Fewer outputs than are drawn, or a count that is impossible.

    Source:
        Yao et al. (2024), tau-bench, section 3.
    """
    _check(passes, outputs, size)
    return comb(passes, size) / comb(outputs, size)


def pass_any_rate(passes: int, outputs: int, size: int) -> float:
    """Return the chance that one of some outputs passes, drawn from those of one item (pass@k).

    Args:
        passes: Outputs that pass.
        outputs: Outputs of the item.
        size: How many are drawn, at most `outputs`.

    Raises:
        ValueError: Fewer outputs than are drawn, or a count that is impossible.

    Source:
        Chen et al. (2021), Evaluating Large Language Models Trained on Code, equation 1.
    """
    _check(passes, outputs, size)
    return 1 - comb(outputs - passes, size) / comb(outputs, size)


def clustered_rate_interval(
    rates: Sequence[float], outputs: int, level: float = 0.95
) -> Interval | CannotTell:
    """Return the interval of a mean of items' rates, within [0, 1]; the items are the unit.

    Wilson's interval for as many items as would vary so much if each had one output, which takes
    the place of the number of items. Rates that are all 0 or 1 get Wilson's plain interval.

    Args:
        rates: The rate of each item, from 0 to 1.
        outputs: The outputs of all items together; they never count for more items than that.
        level: Nominal coverage.

    Returns:
        The interval, or the reason why there is none: one item.

    Raises:
        ValueError: There is no item, or a rate lies outside [0, 1].

    Source:
        Dean and Pagano (2015), Evaluating Confidence Interval Methods for Binomial Proportions in
        Clustered Surveys: Wilson with the effective sample size of Korn and Graubard (1998).
    """
    check_level(level)
    if not rates or not all(0 <= rate <= 1 for rate in rates):
        raise ValueError("Rates of items lie between 0 and 1, and there is at least one.")
    count, mean = len(rates), fmean(rates)
    if all(rate in {0.0, 1.0} for rate in rates):
        return score_interval(mean, count, level)
    if count == 1:
        return CannotTell("there is one item")
    variance = sum((rate - mean) ** 2 for rate in rates) / (count - 1)
    plain = mean * (1 - mean)
    effective = outputs if variance == 0 else min(outputs, plain * count / variance)
    return score_interval(mean, effective * _small_sample(count, level), level)


def _small_sample(count: int, level: float) -> float:
    """Return the correction for a variance that is estimated from few items."""
    from scipy.special import stdtrit  # imported late: costs a tenth of a second

    tail = 0.5 + level / 2
    normal = NormalDist().inv_cdf(tail)
    return (normal / float(stdtrit(count - 1, tail))) ** 2


def _check(passes: int, outputs: int, size: int) -> None:
    if not 0 <= passes <= outputs or not 1 <= size <= outputs:
        message = f"{passes} passes of {outputs} outputs, of which {size} are drawn: impossible."
        raise ValueError(message)
