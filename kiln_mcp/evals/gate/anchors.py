"""The anchor items of an eval, and the day since which drift is looked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kiln_mcp.evals.eval_items import ItemReference
from kiln_mcp.evals.gate.checks import GateCheck
from kiln_mcp.evals.gate.drift import drift_checks, read_drift
from kiln_mcp.evals.gate.eval_gate import GatedConfig
from kiln_mcp.evals.gate.tagged_items import tagged_items
from storage.errors import InvalidValue
from storage.records.ratings import RATING_RANGES

ANCHOR: Final = "anchor"
"""The tag of items that drift is measured on."""


@dataclass(frozen=True, slots=True)
class DriftRequest:
    """How drift is looked for.

    Attributes:
        since: What was scored before is old; None for the day of the pinned baseline.
        tag: The tag of the anchor items.
    """

    since: datetime | None = None
    tag: str = ANCHOR

    def since_of(self, candidate: GatedConfig) -> datetime:
        """Return the moment that divides old results from new ones.

        Raises:
            InvalidValue: None is given, and no baseline is pinned.
        """
        if self.since is not None:
            return self.since
        if candidate.baseline is None:
            raise InvalidValue(
                "Drift of '{name}' since when? No baseline is pinned: give a day as --since.",
                name=candidate.name,
            )
        return candidate.baseline.at


async def anchor_items(candidate: GatedConfig, tag: str) -> Sequence[ItemReference]:
    """Return the anchor items of an eval: those with the tag, or all of its test part."""
    return await tagged_items(candidate.measurement, candidate.items, tag) or candidate.items


async def checks_of_drift(
    candidate: GatedConfig, request: DriftRequest, points: float
) -> list[GateCheck]:
    """Return the checks of an eval's drift.

    Args:
        candidate: The run config in the eval.
        request: How drift is looked for.
        points: The points of a hundred by which a score may move.
    """
    items = await anchor_items(candidate, request.tag)
    since = request.since_of(candidate)
    drifts = await read_drift(
        candidate.measurement, candidate.config, (item.id for item in items), since
    )
    kinds = {
        score.json_key: score.type for score in candidate.measurement.eval_record.output_scores
    }
    return [
        check
        for drift in drifts
        if drift.key in candidate.keys
        for check in drift_checks(candidate.name, drift, RATING_RANGES[kinds[drift.key]], points)
    ]
