"""Numbers of tables of verdicts and labels, for many tables at once.

A table has a row for each verdict and a column for each label, and sums to 1. Tables are stacked
along the first axis. A number that a table does not define is NaN.

This module imports numpy, which is slow. Import it where it is called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from kiln_mcp.statistics.scales import Measure, Scale

Floats: TypeAlias = npt.NDArray[np.float64]

_LEAST_SPREAD: Final = 1e-12


@dataclass(frozen=True, slots=True)
class VerdictTables:
    """Tables with the values of their rows and columns.

    Attributes:
        verdicts: The value of each row, ascending.
        labels: The value of each column, ascending: those of the scale.
        cells: The shares, by table, row and column.
        scale: The scale of the labels.
    """

    verdicts: Sequence[float]
    labels: Sequence[float]
    cells: Floats
    scale: Scale

    def measure(self, constant: float) -> dict[Measure, Floats]:
        """Return every measure of each table.

        Args:
            constant: The constant answer that the judge is compared with.
        """
        agreement, chance, weighted = self._agreement()
        answers = np.array([label == constant for label in self.labels], dtype=np.float64)
        constant_agreement = self.cells.sum(axis=1) @ answers
        first: Floats = np.asarray(self.verdicts, dtype=np.float64)
        second: Floats = np.asarray(self.labels, dtype=np.float64)
        distances: Floats = first[:, None] - second[None, :]
        numbers = {
            Measure.AGREEMENT: agreement,
            Measure.KAPPA: _ratio(agreement - chance, 1 - chance),
            Measure.WEIGHTED_KAPPA: weighted,
            Measure.ADVANTAGE: agreement - constant_agreement,
            Measure.TAU_B: _tau_b(self.cells),
            Measure.SPEARMAN: _spearman(self.cells),
            Measure.PEARSON: _correlation(self.cells, first[None, :], second[None, :]),
            Measure.MEAN_ERROR: self._mean(np.abs(distances)),
            Measure.SQUARED_ERROR: self._mean(distances**2),
            Measure.BIAS: self._mean(distances),
        }
        return numbers | self._rates()

    def spread_out(self, factor: float) -> "VerdictTables":
        """Return the tables, so many times as far from their mean; no share falls below 0."""
        mean = self.cells.mean(axis=0, keepdims=True)
        cells = (mean + factor * (self.cells - mean)).clip(min=0)
        cells /= cells.sum(axis=(1, 2), keepdims=True)
        return VerdictTables(self.verdicts, self.labels, cells, self.scale)

    def _agreement(self) -> tuple[Floats, Floats, Floats]:
        """Return the agreement, that by chance, and κ weighted by squared distance."""
        values = self.scale.values
        rows = np.array(
            [[self.scale.nearest(v) == value for value in values] for v in self.verdicts],
            dtype=np.float64,
        )
        table = np.einsum("tvl,vc->tcl", self.cells, rows)
        first, second = table.sum(axis=2), table.sum(axis=1)
        agreement = np.trace(table, axis1=1, axis2=2)
        chance = (first * second).sum(axis=1)
        points = np.asarray(values)
        distances = (points[:, None] - points[None, :]) ** 2
        distance = (table * distances).sum(axis=(1, 2))
        by_chance = np.einsum("tv,tl,vl->t", first, second, distances)
        return agreement, chance, 1 - _ratio(distance, by_chance)

    def _rates(self) -> dict[Measure, Floats]:
        """Return the rates of a scale that tells pass from fail."""
        if self.scale.pass_from is None:
            return {}
        passes = np.array([v >= self.scale.pass_from for v in self.verdicts])
        label_passes = np.array([v >= self.scale.pass_from for v in self.labels])
        by_label = self.cells.sum(axis=1)
        right_passes = self.cells[:, passes][:, :, label_passes].sum(axis=(1, 2))
        right_fails = self.cells[:, ~passes][:, :, ~label_passes].sum(axis=(1, 2))
        return {
            Measure.TRUE_PASS_RATE: _ratio(right_passes, by_label[:, label_passes].sum(axis=1)),
            Measure.TRUE_FAIL_RATE: _ratio(right_fails, by_label[:, ~label_passes].sum(axis=1)),
            Measure.PASS_RATE: by_label[:, label_passes].sum(axis=1),
        }

    def _mean(self, values: Floats) -> Floats:
        mean: Floats = (self.cells * values).sum(axis=(1, 2))
        return mean

    def label_shares(self) -> Mapping[float, float]:
        """Return the share of each label in the first table."""
        shares = self.cells[0].sum(axis=0)
        return {label: float(share) for label, share in zip(self.labels, shares, strict=True)}


def _ratio(part: Floats, divisor: Floats) -> Floats:
    """Return quotients, NaN for those by nothing."""
    quotients = np.full_like(part, np.nan)
    np.divide(part, divisor, out=quotients, where=abs(divisor) > _LEAST_SPREAD)
    return quotients


def _correlation(cells: Floats, first: Floats, second: Floats) -> Floats:
    """Return Pearson's correlation of the rows' and columns' values, which may differ by table."""
    rows, columns = cells.sum(axis=2), cells.sum(axis=1)
    from_first = first - (rows * first).sum(axis=1, keepdims=True)
    from_second = second - (columns * second).sum(axis=1, keepdims=True)
    spread = (rows * from_first**2).sum(axis=1) * (columns * from_second**2).sum(axis=1)
    product = (cells * from_first[:, :, None] * from_second[:, None, :]).sum(axis=(1, 2))
    return np.clip(_ratio(product, np.sqrt(spread)), -1.0, 1.0)


def _spearman(cells: Floats) -> Floats:
    """Return the correlation of mid-ranks."""
    rows, columns = cells.sum(axis=2), cells.sum(axis=1)
    return _correlation(cells, rows.cumsum(axis=1) - rows / 2, columns.cumsum(axis=1) - columns / 2)


def _tau_b(cells: Floats) -> Floats:
    """Return Kendall's τ-b: concordant less discordant pairs, ties in neither left out."""
    above = cells[:, ::-1, :].cumsum(axis=1)[:, ::-1, :] - cells
    to_right = above[:, :, ::-1].cumsum(axis=2)[:, :, ::-1] - above
    to_left = above.cumsum(axis=2) - above
    balance = 2 * (cells * (to_right - to_left)).sum(axis=(1, 2))
    rows, columns = cells.sum(axis=2), cells.sum(axis=1)
    untied_share = (1 - (rows**2).sum(axis=1)) * (1 - (columns**2).sum(axis=1))
    return np.clip(_ratio(balance, np.sqrt(untied_share.clip(min=0))), -1.0, 1.0)
