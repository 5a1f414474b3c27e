"""Tables of verdicts and labels of a pool: estimated, and drawn from their posterior.

This module imports numpy, which is slow. Import it where it is called.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from kiln_mcp.statistics.scales import Scale
from kiln_mcp.statistics.unbiased_table import Cell
from kiln_mcp.statistics.verdict_tables import Floats, VerdictTables

PRIOR_ITEMS = 2.0
"""How many items the prior weighs in all strata together."""


class _Stratum(Protocol):
    """The labelled items of one stratum; see `PairStratum`."""

    @property
    def size(self) -> float: ...
    @property
    def pairs(self) -> Sequence[tuple[float, float]]: ...
    @property
    def verdict(self) -> float | None: ...


class _Layout:
    """The places of verdicts and labels in a table."""

    def __init__(self, strata: Sequence[_Stratum], scale: Scale) -> None:
        self.verdicts = sorted({verdict for stratum in strata for verdict in _verdicts(stratum)})
        self.labels = scale.values
        self.rows = {verdict: place for place, verdict in enumerate(self.verdicts)}
        self.columns = {label: place for place, label in enumerate(self.labels)}

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.verdicts), len(self.labels)

    def counts(self, stratum: _Stratum) -> Floats:
        """Return how many labelled items are in each cell."""
        counts = np.zeros(self.shape)
        for verdict, label in stratum.pairs:
            counts[self.rows[verdict], self.columns[label]] += 1
        return counts

    def prior(self, stratum: _Stratum, strata: int) -> Floats:
        """Return the items of the prior in each cell."""
        prior = np.zeros(self.shape)
        rows = [self.rows[verdict] for verdict in _verdicts(stratum)] or list(self.rows.values())
        prior[rows] = PRIOR_ITEMS / strata / len(rows) / len(self.labels)
        return prior


def _verdicts(stratum: _Stratum) -> set[float]:
    """Return the verdicts that can occur in a stratum."""
    if stratum.verdict is not None:
        return {stratum.verdict}
    return {verdict for verdict, _ in stratum.pairs}


def plain_tables(strata: Sequence[_Stratum], scale: Scale) -> VerdictTables:
    """Return one table: the shares of the labelled items, each stratum weighted by its size.

    A stratum without labels has the shares of its prior.
    """
    layout = _Layout(strata, scale)
    total = sum(stratum.size for stratum in strata)
    cells = np.zeros((1, *layout.shape))
    for stratum in strata:
        counts = layout.counts(stratum) if stratum.pairs else layout.prior(stratum, len(strata))
        cells[0] += stratum.size / total * counts / counts.sum()
    return VerdictTables(layout.verdicts, layout.labels, cells, scale)


def table_of(shares: Mapping[Cell, float], scale: Scale) -> VerdictTables:
    """Return one table of given shares; those below 0, which few labels give, count as 0."""
    verdicts = sorted({verdict for verdict, _ in shares})
    cells = np.zeros((1, len(verdicts), len(scale.values)))
    for (verdict, label), share in shares.items():
        cells[0, verdicts.index(verdict), scale.values.index(label)] += max(share, 0.0)
    return VerdictTables(verdicts, scale.values, cells / cells.sum(), scale)


def drawn_tables(strata: Sequence[_Stratum], scale: Scale, count: int, seed: int) -> VerdictTables:
    """Return tables drawn from the posterior of each stratum, weighted by its size."""
    layout = _Layout(strata, scale)
    draw = np.random.default_rng(seed)
    total = sum(stratum.size for stratum in strata)
    cells = np.zeros((count, *layout.shape))
    for stratum in strata:
        weights = layout.counts(stratum) + layout.prior(stratum, len(strata))
        shares = draw.standard_gamma(weights, (count, *layout.shape))
        cells += stratum.size / total * shares / shares.sum(axis=(1, 2), keepdims=True)
    return VerdictTables(layout.verdicts, layout.labels, cells, scale)
