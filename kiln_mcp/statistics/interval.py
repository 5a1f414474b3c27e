"""The results of estimates: an interval, or the reason why there is none."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided interval.

    Attributes:
        low: Lower end.
        high: Upper end, never below `low`.
        level: Nominal coverage, between 0 and 1.
    """

    low: float
    high: float
    level: float = 0.95

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            message = f"An interval's low end {self.low} lies above its high end {self.high}."
            raise ValueError(message)

    @property
    def width(self) -> float:
        """Return the distance between the ends."""
        return self.high - self.low

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class CannotTell:
    """The data do not determine the number.

    Attributes:
        reason: Why, as a clause that can follow "cannot tell:".
    """

    reason: str


def check_level(level: float) -> None:
    """Refuse a nominal coverage outside (0, 1).

    Raises:
        ValueError: The level is not strictly between 0 and 1.
    """
    if not 0 < level < 1:
        message = f"A level lies strictly between 0 and 1, not at {level}."
        raise ValueError(message)
