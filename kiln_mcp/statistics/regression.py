"""Linear regression with intervals that need no equal spread."""

from collections.abc import Sequence
from dataclasses import dataclass

from kiln_mcp.statistics.interval import CannotTell, Interval, check_level


@dataclass(frozen=True, slots=True)
class Slope:
    """The effect of one variable, the others held fixed.

    Attributes:
        value: The change of the outcome for one unit.
        interval: Its interval.
    """

    value: float
    interval: Interval


def slopes(
    variables: Sequence[Sequence[float]], outcome: Sequence[float], level: float = 0.95
) -> list[Slope] | CannotTell:
    """Return the slope of each variable by least squares, with HC3 standard errors.

    Args:
        variables: The values of each variable, one for each item.
        outcome: The outcome of each item.
        level: Nominal coverage.

    Returns:
        The slopes, or why there are none: few items, or variables that do not vary by themselves.

    Raises:
        ValueError: The sequences differ in length, or the level lies outside (0, 1).

    Source:
        MacKinnon and White (1985), Some Heteroskedasticity-Consistent Covariance Matrix Estimators.
    """
    check_level(level)
    if {len(variable) for variable in variables} - {len(outcome)}:
        raise ValueError("Variables and outcome differ in length.")
    count, width = len(outcome), len(variables) + 1
    if count < width + 2:
        return CannotTell(f"{count} items are too few")
    import numpy as np  # imported late: slow to import
    from scipy.special import stdtrit

    design = np.column_stack([np.ones(count), *variables]).astype(np.float64)
    if np.linalg.matrix_rank(design) < width:
        return CannotTell("a variable is the same for all items, or follows from the others")
    inverse = np.linalg.inv(design.T @ design)
    values = np.asarray(outcome, dtype=np.float64)
    weights = inverse @ design.T @ values
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    residuals = (values - design @ weights) / (1 - leverage).clip(min=1e-6)
    meat = (design * residuals[:, None] ** 2).T @ design
    errors = np.sqrt(np.diag(inverse @ meat @ inverse))
    reach = float(stdtrit(count - width, 0.5 + level / 2))
    return [
        Slope(float(weight), Interval(float(weight - reach * e), float(weight + reach * e), level))
        for weight, e in zip(weights[1:], errors[1:], strict=True)
    ]
