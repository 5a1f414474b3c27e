"""The scales of labels, and the numbers that compare a judge with labels on them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Measure(StrEnum):
    """A number that compares a judge's verdicts with a person's labels."""

    AGREEMENT = "agreement"
    KAPPA = "kappa"
    WEIGHTED_KAPPA = "weighted_kappa"
    """Cohen (1968), weighted by the square of the distance."""
    ADVANTAGE = "advantage"
    """The agreement less that of the best constant answer."""
    TAU_B = "tau_b"
    SPEARMAN = "spearman"
    PEARSON = "pearson"
    MEAN_ERROR = "mean_error"
    SQUARED_ERROR = "squared_error"
    BIAS = "bias"
    """The judge's mean less the labels'."""
    TRUE_PASS_RATE = "true_pass_rate"
    TRUE_FAIL_RATE = "true_fail_rate"
    PASS_RATE = "pass_rate"
    """The share of items that people pass."""

    def within(self, value: float) -> float:
        """Return a number inside the range that it can have; NaN stays."""
        if self in _SHARES:
            return min(max(value, 0.0), 1.0)
        return min(value, 1.0) if self in _AT_MOST_ONE else value


_SHARES: Final = frozenset(
    {Measure.AGREEMENT, Measure.TRUE_PASS_RATE, Measure.TRUE_FAIL_RATE, Measure.PASS_RATE}
)
_AT_MOST_ONE: Final = frozenset({Measure.KAPPA, Measure.WEIGHTED_KAPPA})


@dataclass(frozen=True, slots=True)
class Scale:
    """The values that a label can have.

    Attributes:
        values: Ascending, at least one.
        pass_from: The score from which on an output passes; None for a scale without pass and fail.
    """

    values: tuple[float, ...]
    pass_from: float | None = None

    def nearest(self, score: float) -> float:
        """Return the value that a score stands for; the higher of two that are as near."""
        return min(self.values, key=lambda value: (abs(value - score), -value))

    def farthest(self, score: float) -> float:
        """Return the value that differs most from a score."""
        return max(self.values, key=lambda value: (abs(value - score), value))


PASS_FAIL: Final = Scale((0.0, 1.0), 0.5)
PASS_FAIL_CRITICAL: Final = Scale((-1.0, 0.0, 1.0), 0.5)
FIVE_STAR: Final = Scale((1.0, 2.0, 3.0, 4.0, 5.0))


def scale_of(kind: str) -> Scale:
    """Return the scale of a kind of score.

    Raises:
        KeyError: There is no such kind.
    """
    scales = {
        "pass_fail": PASS_FAIL,
        "pass_fail_critical": PASS_FAIL_CRITICAL,
        "five_star": FIVE_STAR,
    }
    return scales[kind]
