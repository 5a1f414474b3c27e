"""Whether labels look like labels: signs that they were clicked through or decided by session."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import sqrt
from statistics import median

FEWEST = 8
FEW = 30
FASTEST_S = 2.0
LONG_PAUSE_S = 120.0
SUSPICIOUS_Z = -2.58


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """A label with the circumstances that it was given in.

    Attributes:
        value: On the score's scale.
        at: When it was given.
        seconds: Time taken for it, where that was recorded; None where only `at` is known.
        session: What the item was generated with; None where not known.
    """

    value: float
    at: datetime
    seconds: float | None = None
    session: str | None = None


def label_warnings(labels: Sequence[GivenLabel]) -> list[str]:
    """Return what is suspicious about labels, one sentence each."""
    if not labels:
        return []
    ordered = sorted(labels, key=lambda label: label.at)
    found = [
        _few(ordered),
        _constant(ordered),
        _fast(ordered),
        _in_blocks(ordered),
        _by_session(ordered),
    ]
    return [sentence for sentence in found if sentence]


def _few(labels: Sequence[GivenLabel]) -> str | None:
    if len(labels) >= FEW:
        return None
    return f"Only {len(labels)} labels: expect wide intervals; 100 with both verdicts are better."


def _constant(labels: Sequence[GivenLabel]) -> str | None:
    if len({label.value for label in labels}) > 1:
        return None
    return (
        f"All {len(labels)} labels are the same: nothing can be said of how a judge treats the "
        "other verdict. Label items that fail."
    )


def _fast(labels: Sequence[GivenLabel]) -> str | None:
    recorded = [label.seconds for label in labels if label.seconds is not None]
    rest = [label.at for label in labels if label.seconds is None]
    gaps = [(b - a).total_seconds() for a, b in pairwise(rest)]
    taken = recorded + [gap for gap in gaps if gap < LONG_PAUSE_S]
    if len(taken) < FEWEST - 1 or median(taken) >= FASTEST_S:
        return None
    return (
        f"The labels were entered every {median(taken):.1f} s (median): too fast to have read the "
        "items."
    )


def _in_blocks(labels: Sequence[GivenLabel]) -> str | None:
    """Test for too few runs of equal labels (Wald and Wolfowitz 1940, normal approximation)."""
    values = [label.value for label in labels]
    high = sum(value == max(values) for value in values)
    low = len(values) - high
    if not high or not low or len(values) < FEWEST:
        return None
    runs = 1 + sum((a == max(values)) != (b == max(values)) for a, b in pairwise(values))
    total = high + low
    mean = 1 + 2 * high * low / total
    variance = (mean - 1) * (mean - 2) / (total - 1)
    if variance <= 0 or (runs - mean) / sqrt(variance) > SUSPICIOUS_Z:
        return None
    return (
        f"Equal labels follow each other: {total} labels in {runs} blocks, where about {mean:.0f} "
        "were to be expected. Shuffle the items before labelling."
    )


def _by_session(labels: Sequence[GivenLabel]) -> str | None:
    sessions: dict[str, set[float]] = {}
    for label in labels:
        if label.session is None:
            return None
        sessions.setdefault(label.session, set()).add(label.value)
    varied = len({label.value for label in labels}) > 1
    if len(sessions) < 2 or not varied or any(len(values) > 1 for values in sessions.values()):
        return None
    return (
        f"The labels are confounded with the generation session: in each of {len(sessions)} "
        "sessions all labels are the same, so agreement may come from how the items were made."
    )
