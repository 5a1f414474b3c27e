"""Scores by item: an item counts once, with the mean of its outputs."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

from storage.index.results import Verdict, VerdictKey

FEWEST_EMPTY: Final = 3
"""Verdicts without anything to compare, from which on their score is taken for none."""

Outputs = Sequence[Sequence[float]]
"""An item's outputs, each with its verdicts."""


def is_empty_score(verdicts: Mapping[VerdictKey, Verdict]) -> bool:
    """Return whether a score never had anything to compare, and is the same everywhere."""
    return (
        len(verdicts) >= FEWEST_EMPTY
        and all(verdict.is_empty for verdict in verdicts.values())
        and len({verdict.value for verdict in verdicts.values()}) == 1
    )


def outputs_by_item(verdicts: Mapping[VerdictKey, Verdict]) -> dict[str, Outputs]:
    """Return the outputs of each item in their order; none of a score that is empty."""
    if is_empty_score(verdicts):
        return {}
    items: dict[str, dict[int, list[float]]] = {}
    for (item, sample, _), verdict in sorted(verdicts.items()):
        items.setdefault(item, {}).setdefault(sample, []).append(verdict.value)
    return {item: list(outputs.values()) for item, outputs in items.items()}


def mean_of(outputs: Outputs) -> float:
    """Return the mean of an item's outputs, each the mean of its verdicts."""
    return fmean(map(fmean, outputs))
