"""Find labels that nearly all of a panel contradicts: worth a second look, and no more.

A panel may ask again and never overwrite. If judges are weak, even a unanimous contradiction is
often wrong.
"""

from collections.abc import Sequence
from typing import Final

from kiln_mcp.evaluators.scales import decision_of

FEWEST_MEMBERS: Final = 3
"""Verdicts below which a panel says nothing of a label."""
LARGEST_SHARE: Final = 0.1
"""The largest share of the panel that agrees with a label which is worth a second look."""


def share_with(label: float, decisions: Sequence[float], kind: str) -> float | None:
    """Return the share of decisions that are a label; None if there is no decision."""
    if not decisions:
        return None
    expected = decision_of(label, kind)
    return sum(decision == expected for decision in decisions) / len(decisions)


def is_suspicious(label: float, decisions: Sequence[float], kind: str) -> bool:
    """Return whether nearly all of a panel contradicts a label.

    Args:
        label: The person's label.
        decisions: Those of all members, the judge included.
        kind: The score's kind.
    """
    share = share_with(label, decisions, kind)
    return share is not None and len(decisions) >= FEWEST_MEMBERS and share <= LARGEST_SHARE
