"""The plan of measuring judges: what will be done, and what so many labels can show."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Final

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.judging.panel import PanelPlan
from kiln_mcp.statistics import detection_share
from storage.index.results import RatedItem

_USUAL_AGREEMENT: Final = 0.8
_GAIN: Final = 0.1


def plan_of_check(
    name: str,
    runs_by_score: Mapping[str, Sequence[RatedItem]],
    panels: Sequence[PanelPlan],
    judges: Sequence[Measurement],
    *,
    is_set: bool,
) -> str:
    """Return what a measurement of judges will do, and how exact it can be, in sentences."""
    labels = max(map(len, runs_by_score.values()))
    sentences = [f"Judge {labels} labelled items of {name!r}."]
    if panels:
        members = sum(panel.members for panel in panels)
        items = max(len(panel.items) for panel in panels)
        sentences.append(f"Ask {members} panel members about {items} golden items.")
    half = min(0.5, 1.96 * sqrt(_USUAL_AGREEMENT * (1 - _USUAL_AGREEMENT) / labels))
    sentences.append(f"{labels} labels tell the agreement to about {half * 100:.0f} points.")
    if len(judges) > 1:
        share = detection_share(labels, _GAIN)
        sentences.append(f"They show that one judge agrees 10 points more in {share:.0%} of cases.")
    if is_set:
        sentences.append(f"Make {judges[0].evaluator_record.name!r} the current judge.")
    return " ".join(sentences)
