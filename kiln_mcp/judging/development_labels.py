"""The labels that a judge may be compared with in the open, and may be rewritten from.

Labels for the certificate are hidden here: they are counted, and never shown or read by a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kiln_mcp.labels.golden_set import GoldenSet
from storage import EvalOutputScore
from storage.index.results import RatedItem


@dataclass(frozen=True, slots=True)
class DevelopmentLabel:
    """A person's label of an item for development.

    Attributes:
        run: The item.
        value: On the score's scale.
        rater: Who gave it; "" if only the rating is known.
        reason: Why; "" if the person gave none.
    """

    run: RatedItem
    value: float
    rater: str = ""
    reason: str = ""


def development_labels(golden_set: GoldenSet, score: EvalOutputScore) -> list[DevelopmentLabel]:
    """Return the labels of a score that are for development, in the order of the items."""
    labels: list[DevelopmentLabel] = []
    for run in golden_set.runs:
        value = golden_set.label(run, score)
        if value is None or not golden_set.has_purpose(run, score, "development"):
            continue
        last = golden_set.last_label(run, score)
        labels.append(DevelopmentLabel(run, value, last.rater if last else ""))
    return labels


def count_hidden(golden_set: GoldenSet, scores: Sequence[EvalOutputScore]) -> int:
    """Return how many items have a label for the certificate."""
    return sum(
        any(golden_set.has_purpose(run, score, "certificate") for score in scores)
        for run in golden_set.runs
        if any(golden_set.label(run, score) is not None for score in scores)
    )
