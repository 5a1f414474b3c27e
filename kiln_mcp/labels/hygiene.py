"""Find signs that labels were entered without care, or that they follow the generation session."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import sqrt
from statistics import median
from typing import Final

from kiln_mcp.datasets.sample_sizes import WIDE_INTERVAL_ITEMS

FEWEST_LABELS = 8
"""Labels below which neither their speed nor their order is tested."""
FASTEST_S = 2.0
FASTEST_HAND_S = 0.2
"""No hand enters labels faster than this."""
LONG_PAUSE_S = 120.0
SUSPICIOUS_Z = -2.58


@dataclass(frozen=True, slots=True)
class TimedLabel:
    """A label with its time, and with the session that generated its item.

    Attributes:
        value: On the score's scale.
        at: When it was entered.
        seconds: The time that it took; None if only `at` is known.
        session: The item's generation session; None if it is not known.
    """

    value: float
    at: datetime
    seconds: float | None = None
    session: str | None = None


def label_warnings(labels: Sequence[TimedLabel]) -> list[str]:
    """Return a sentence for each suspicious property of labels."""
    return _sentences(labels, _CHECKS)


def label_faults(labels: Sequence[TimedLabel]) -> list[str]:
    """Return a sentence for each property by which labels can measure no judge."""
    return _sentences(labels, _FAULT_CHECKS)


def _sentences(labels: Sequence[TimedLabel], checks: Sequence["_Check"]) -> list[str]:
    if not labels:
        return []
    sequence = sorted(labels, key=lambda label: label.at)
    return [sentence for check in checks if (sentence := check(sequence))]


def _check_count(labels: Sequence[TimedLabel]) -> str | None:
    if len(labels) >= WIDE_INTERVAL_ITEMS:
        return None
    return f"Only {len(labels)} labels: expect wide intervals; 100 with both verdicts are better."


def _check_values(labels: Sequence[TimedLabel]) -> str | None:
    if len({label.value for label in labels}) > 1:
        return None
    return (
        f"All {len(labels)} labels are the same, so they do not show how a judge treats the other "
        "verdict. Label items that should get it."
    )


def _check_speed(labels: Sequence[TimedLabel]) -> str | None:
    timings = [label.seconds for label in labels if label.seconds is not None]
    rest = [label.at for label in labels if label.seconds is None]
    gaps = [(b - a).total_seconds() for a, b in pairwise(rest)]
    if gaps and median(gaps) < FASTEST_HAND_S:
        gaps = []  # a program wrote them together: nobody knows how long they took
    seconds = timings + [gap for gap in gaps if gap < LONG_PAUSE_S]
    if len(seconds) < FEWEST_LABELS - 1 or median(seconds) >= FASTEST_S:
        return None
    return (
        f"The labels were entered every {median(seconds):.1f} s (median): too fast to have read "
        "the items."
    )


def _check_own_speed(labels: Sequence[TimedLabel]) -> str | None:
    """Test the speed of labels that were not sent together: of those only a bound is known."""
    times = Counter(label.at for label in labels)
    return _check_speed([label for label in labels if times[label.at] == 1])


def _check_blocks(labels: Sequence[TimedLabel]) -> str | None:
    """Test for too few runs of equal labels (Wald and Wolfowitz 1940, normal approximation).

    Labels that were sent together have no order.
    """
    times = Counter(label.at for label in labels)
    values = [label.value for label in labels if times[label.at] == 1]
    if not values:
        return None
    high = sum(value == max(values) for value in values)
    low = len(values) - high
    if not high or not low or len(values) < FEWEST_LABELS:
        return None
    runs = 1 + sum((a == max(values)) != (b == max(values)) for a, b in pairwise(values))
    total = high + low
    mean = 1 + 2 * high * low / total
    variance = (mean - 1) * (mean - 2) / (total - 1)
    if variance <= 0 or (runs - mean) / sqrt(variance) > SUSPICIOUS_Z:
        return None
    return (
        f"Equal labels follow each other: {total} labels in {runs} blocks, where about {mean:.0f} "
        "were expected. Shuffle the items before labelling."
    )


def _check_sessions(labels: Sequence[TimedLabel]) -> str | None:
    sessions: dict[str, set[float]] = {}
    for label in labels:
        if label.session is None:
            return None
        sessions.setdefault(label.session, set()).add(label.value)
    is_constant = len({label.value for label in labels}) == 1
    if len(sessions) < 2 or is_constant or any(len(values) > 1 for values in sessions.values()):
        return None
    return (
        f"The labels are confounded with the generation session: in each of {len(sessions)} "
        "sessions all labels are the same, so agreement may come from how the items were generated."
    )


_Check = Callable[[Sequence[TimedLabel]], str | None]
_CHECKS: Final[tuple[_Check, ...]] = (
    _check_count,
    _check_values,
    _check_speed,
    _check_blocks,
    _check_sessions,
)
_FAULT_CHECKS: Final[tuple[_Check, ...]] = (_check_own_speed, _check_blocks, _check_sessions)
"""What makes labels useless as a measure of judges."""
