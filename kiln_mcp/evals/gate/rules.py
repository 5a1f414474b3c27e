"""What a gate asks for: thresholds, the loss against the baseline, and hard breaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from storage.errors import InvalidValue

MUST_PASS: Final = "must-pass"
"""The tag of items of which every one must pass."""
USUAL_LOSS: Final = 5.0
"""Points that a score may lose against the pinned baseline if nothing else is said."""


@dataclass(frozen=True, slots=True)
class GateRules:
    """What a run config must fulfil.

    Attributes:
        at_least: By score: what the lower limit of its mean must reach, on its scale.
        most_loss: Points of a hundred that a score may lose against the baseline; None for the
            usual ones where a baseline is pinned.
        must_pass: The tag of items of which every one must pass.
        critical: Scores or evaluators of which one failure fails the gate.
    """

    at_least: Mapping[str, float] = field(default_factory=dict[str, float])
    most_loss: float | None = None
    must_pass: str = MUST_PASS
    critical: Sequence[str] = ()

    @property
    def loss(self) -> float:
        """Return the points that a score may lose."""
        return USUAL_LOSS if self.most_loss is None else self.most_loss


def read_threshold(text: str) -> tuple[str, float]:
    """Return the score and the number of a threshold such as "correct=.9" or "correct=90%".

    Raises:
        InvalidValue: It is none.
    """
    name, _, number = text.partition("=")
    is_percent = number.rstrip().endswith("%")
    try:
        value = float(number.rstrip().removesuffix("%"))
    except ValueError:
        value = float("nan")
    if not name.strip() or value != value or value in {float("inf"), float("-inf")}:
        raise InvalidValue(
            "'{text}' is no threshold. Give a score and a number, such as correct=0.9 or "
            "correct=90%.",
            text=text,
        )
    return name.strip(), value / 100 if is_percent else value
