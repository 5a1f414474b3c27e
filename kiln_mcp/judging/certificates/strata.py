"""Strata of a pool: the judge's verdict, and how much of a panel differs from it."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

from kiln_mcp.labels.audit_lines import AuditStratum
from kiln_mcp.statistics import Scale, prior_of

_BOUNDS: Final = (0.2, 0.5)
_NAMES: Final = ("under 20 %", "20 to 50 %", "50 % or more")


def disagreements(
    verdicts: Mapping[str, float], panel: Sequence[Mapping[str, float]], scale: Scale
) -> dict[str, float]:
    """Return the share of the panel that differs from the judge, by item; 0 without a panel."""
    shares: dict[str, float] = {}
    for item, verdict in verdicts.items():
        panel_values = [scale.nearest(member[item]) for member in panel if item in member]
        own = scale.nearest(verdict)
        shares[item] = fmean(other != own for other in panel_values) if panel_values else 0.0
    return shares


def panel_strata(
    verdicts: Mapping[str, float], panel: Sequence[Mapping[str, float]], scale: Scale
) -> tuple[AuditStratum, ...]:
    """Divide a pool by verdict and by the panel's disagreement; cells without items are left out.

    Args:
        verdicts: The judge's, by item.
        panel: The verdicts of the other judges, by item.
        scale: The scale of the labels.
    """
    shares = disagreements(verdicts, panel, scale)
    cells: dict[tuple[float, int], list[str]] = {}
    for item in sorted(verdicts):
        cell = scale.nearest(verdicts[item]), bisect_right(_BOUNDS, shares[item])
        cells.setdefault(cell, []).append(item)
    strata: list[AuditStratum] = []
    for (value, place), items in sorted(cells.items()):
        own = {verdicts[item] for item in items}
        strata.append(
            AuditStratum(
                name=f"{value:g}, panel differs {_NAMES[place]}",
                verdict=own.pop() if len(own) == 1 else None,
                prior=prior_of(fmean(shares[item] for item in items)),
                items=tuple(items),
            )
        )
    return tuple(strata)
