"""What items are drawn for besides new labels: blind repeats and second looks."""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.label_audit import LabelAudit
from kiln_mcp.labels.labelling_pass import LabellingPass
from kiln_mcp.labels.ledger import JUDGED, DrawnStratum, Label, Purpose

REPEATED_SHARE: Final = 0.1
"""The share of a rater's items that are shown again."""
RECENT_ITEMS: Final = 10
"""A rater's last items, which they would remember."""
_STRATUM: Final[Mapping[Purpose, str]] = {"repeat": "labelled", "second_look": "doubtful"}


def rater_of(labelling: LabellingPass, rater: str) -> str:
    """Return the rater whom items are drawn for: the named one, or the only one so far."""
    return rater or (next(iter(labelling.raters)) if len(labelling.raters) == 1 else "")


def repeatable_items(labelling: LabellingPass, rater: str) -> list[str]:
    """Return the items that a rater labelled a while ago and has not seen again."""
    own = [label for label in _labels(labelling.golden_sets) if label.rater == rater]
    labelled_items = list(dict.fromkeys(label.item for label in own if label.purpose != "repeat"))
    repeated_items = {label.item for label in own if label.purpose in {"repeat", "second_look"}}
    return [
        item
        for item in labelled_items[: -RECENT_ITEMS or None]
        if item not in repeated_items and item in labelling.runs
    ]


def due_repeats(labelling: LabellingPass, rater: str, count: int) -> int:
    """Return how many of the next items are to be blind repeats."""
    items = {draw.id: draw for draw in labelling.draws if draw.rater in {"", rater}}
    repeats = sum(len(draw.items) for draw in items.values() if draw.purpose == "repeat")
    labelled_items = {
        label.item for label in _labels(labelling.golden_sets) if label.rater == rater
    }
    due = int(REPEATED_SHARE * (len(labelled_items) + count)) - repeats
    return max(0, min(due, count // 2, len(repeatable_items(labelling, rater))))


def repeat_stratum(
    labelling: LabellingPass, rater: str, count: int, seed: int
) -> dict[str, DrawnStratum]:
    """Draw items that a rater labelled before, at random."""
    items = repeatable_items(labelling, rater)
    drawn = random.Random(seed).sample(items, min(count, len(items)))
    return _one_stratum("repeat", len(labelling.runs), items, drawn)


def second_look_stratum(
    labelling: LabellingPass, audits: Iterable[LabelAudit], count: int
) -> dict[str, DrawnStratum]:
    """Choose the labels that are most in doubt, the worst first."""
    doubtful = [label for audit in audits for label in audit.doubtful]
    doubtful.sort(key=lambda label: tuple(-part for part in label.weight))
    items = list(dict.fromkeys(label.item for label in doubtful))
    return _one_stratum("second_look", len(labelling.runs), items, items[:count])


def _one_stratum(
    purpose: Purpose, size: int, items: Sequence[str], drawn: Sequence[str]
) -> dict[str, DrawnStratum]:
    stratum = DrawnStratum(size=size, open=len(items), drawn=tuple(drawn))
    return {_STRATUM[purpose]: stratum}


def _labels(golden_sets: Iterable[GoldenSet]) -> Iterable[Label]:
    return (
        label for golden_set in golden_sets for label in golden_set.labels if label.state in JUDGED
    )
