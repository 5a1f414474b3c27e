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

    def since_of(self, gated: GatedConfig) -> datetime:
        """Return the moment that divides old results from new ones.

        Raises:
            InvalidValue: None is given, and no baseline is pinned.
        """
        if self.since is not None:
            return self.since
        if gated.baseline is None:
            raise InvalidValue(
                "Drift of '{name}' since when? No baseline is pinned: give a day as --since.",
                name=gated.name,
            )
        return gated.baseline.at


async def anchor_items(gated: GatedConfig, tag: str) -> Sequence[ItemReference]:
    """Return the anchor items of an eval: those with the tag, or all of its test part."""
    return await tagged_items(gated.measurement, gated.items, tag) or gated.items


async def checks_of_drift(
    gated: GatedConfig, request: DriftRequest, points: float
) -> list[GateCheck]:
    """Return the checks of an eval's drift.

    Args:
        gated: The run config in the eval.
        request: How drift is looked for.
        points: The points of a hundred by which a score may move.
    """
    items = await anchor_items(gated, request.tag)
    since = request.since_of(gated)
    drifts = await read_drift(gated.measurement, gated.config, (item.id for item in items), since)
    kinds = {score.json_key: score.type for score in gated.measurement.eval_record.output_scores}
    return [
        check
        for drift in drifts
        if drift.key in gated.keys
        for check in drift_checks(gated.name, drift, RATING_RANGES[kinds[drift.key]], points)
    ]
