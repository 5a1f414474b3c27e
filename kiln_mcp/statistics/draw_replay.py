"""Replay the draws of an audit: their probabilities are those that its design makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.statistics.audit_design import AuditDesign
from kiln_mcp.statistics.betting_audit import draw_probabilities

_TOLERANCE: Final = 1e-6
"""How far a stored probability may be from the replayed one: machines round differently."""


@dataclass(frozen=True, slots=True)
class StoredDraw:
    """A draw as it was stored.

    Attributes:
        stratum: The place of its stratum.
        probabilities: Of all strata, at this draw.
        left: Items not drawn before this draw, by stratum.
    """

    stratum: int
    probabilities: tuple[float, ...]
    left: tuple[int, ...]


def replays(design: AuditDesign, requests: Sequence[Sequence[StoredDraw]]) -> bool:
    """Return whether the design can have made these draws.

    The draws of one request share the labels before it, so each follows from the first. The draws
    of a request on the whole pool come before any label, so they follow from the design alone.
    Which labels a later request saw is not stored: labels of another machine may come afterwards.

    Args:
        design: The design.
        requests: The draws of each request, in order.
    """
    return all(_request_replays(design, draws) for draws in requests)


def _request_replays(design: AuditDesign, draws: Sequence[StoredDraw]) -> bool:
    if not all(_has_left(design, draw) for draw in draws):
        return False
    first = draws[0]
    start = first.probabilities
    if first.left == design.sizes:
        zeros = [0] * len(design.sizes)
        start = draw_probabilities(design, first.left, zeros, zeros)
    weights = _weights(first.left, start)
    return min(weights) >= -_TOLERANCE and all(
        abs(probability - expected) <= _TOLERANCE
        for draw in draws
        for probability, expected in zip(
            draw.probabilities, _probabilities(draw.left, weights), strict=True
        )
    )


def _has_left(design: AuditDesign, draw: StoredDraw) -> bool:
    """Return whether a draw has items to draw, and a probability for each stratum."""
    return (
        len(draw.left) == len(draw.probabilities) == len(design.sizes)
        and all(0 <= count <= size for count, size in zip(draw.left, design.sizes, strict=True))
        and draw.left[draw.stratum] > 0
    )


def _weights(left: Sequence[int], probabilities: Sequence[float]) -> list[float]:
    """Return the weight of one item of each stratum, beside its even chance."""
    from kiln_mcp.statistics.audit_paths import FLOOR

    even = FLOOR / sum(left)
    return [
        probability / count - even if count else 0.0
        for count, probability in zip(left, probabilities, strict=True)
    ]


def _probabilities(left: Sequence[int], weights: Sequence[float]) -> list[float]:
    """Return the probability of each stratum for a draw, by the weights of its items."""
    from kiln_mcp.statistics.audit_paths import FLOOR

    total = sum(left)
    by_weight = [count * weight for count, weight in zip(left, weights, strict=True)]
    scale = sum(by_weight)
    return [
        (1 - FLOOR) * (share / scale if scale else 0.0) + FLOOR * count / total
        for share, count in zip(by_weight, left, strict=True)
    ]
