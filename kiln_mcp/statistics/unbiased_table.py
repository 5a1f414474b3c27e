"""An unbiased table of verdicts and labels, whatever the strata were drawn for.

Where earlier labels decide which stratum is drawn, the share among a stratum's labels is biased: by
a point or more after 60 labels. Each draw gives an unbiased table: the items known so far, and what
was expected of the others, corrected by what came, divided by its probability. Their mean is
unbiased too, after any fixed number of labels.

Source:
    The estimate is the Y of `betting_audit`, for each cell of the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kiln_mcp.statistics.scales import Scale

Cell = tuple[float, float]
"""A verdict and a label."""


@dataclass(frozen=True, slots=True)
class DrawnPair:
    """One draw with its verdict and label.

    Attributes:
        stratum: The place of its stratum.
        probability: That of the stratum at this draw.
        verdict: The verdict.
        label: The label.
    """

    stratum: int
    probability: float
    verdict: float
    label: float


@dataclass(slots=True)
class _Stratum:
    """What is known of a stratum after some draws.

    Attributes:
        left: Items not drawn.
        verdicts: The share of each verdict among all its items.
        counts: Labelled items by cell.
    """

    left: int
    verdicts: Mapping[float, float]
    counts: dict[Cell, int] = field(default_factory=dict[Cell, int])

    def expected(self, scale: Scale, agreement: float) -> dict[Cell, float]:
        """Return what share of the items that are left is expected in each cell.

        One item in all strata's agreement stands beside the stratum's own labels.
        """
        total = sum(self.counts.values()) + 1
        other_labels = max(1, len(scale.values) - 1)
        cells: dict[Cell, float] = {}
        for verdict, share in self.verdicts.items():
            own = scale.nearest(verdict)
            for label in scale.values:
                part = agreement if label == own else (1 - agreement) / other_labels
                cells[verdict, label] = share * part / total
        for cell, count in self.counts.items():
            cells[cell] = cells.get(cell, 0.0) + count / total
        return cells


def unbiased_table(
    verdicts: Sequence[Mapping[float, int]], scale: Scale, draws: Sequence[DrawnPair]
) -> dict[Cell, float]:
    """Return the share of the pool in each cell; a share may fall below 0 after few labels.

    The first draw only tells what to expect. Later draws weigh more, as fewer items are left to be
    estimated.

    Args:
        verdicts: How many items of each stratum have each verdict.
        scale: The scale of the labels.
        draws: In order, at least one.

    Raises:
        ValueError: There is no draw.
    """
    if not draws:
        raise ValueError("A table needs at least one draw.")
    strata = [_stratum(own) for own in verdicts]
    total = sum(stratum.left for stratum in strata)
    sums: dict[Cell, float] = {}
    weights, agreements = 0.0, 0
    for step, draw in enumerate(draws):
        weight = (total / (total - step)) ** 2 if step or len(draws) == 1 else 0.0
        weights += weight
        agreement = agreements / step if step else 0.5
        for cell, items in _estimate(strata, draw, scale, agreement).items():
            sums[cell] = sums.get(cell, 0.0) + weight * items
        own, cell = strata[draw.stratum], (draw.verdict, draw.label)
        own.left -= 1
        own.counts[cell] = own.counts.get(cell, 0) + 1
        agreements += scale.nearest(draw.verdict) == draw.label
    return {cell: items / weights / total for cell, items in sums.items()}


def _stratum(verdicts: Mapping[float, int]) -> _Stratum:
    size = sum(verdicts.values())
    return _Stratum(size, {verdict: count / size for verdict, count in verdicts.items()})


def _estimate(
    strata: Sequence[_Stratum], draw: DrawnPair, scale: Scale, agreement: float
) -> dict[Cell, float]:
    """Return how many items of the pool are in each cell, by one draw and all before it."""
    estimate: dict[Cell, float] = {}
    for place, stratum in enumerate(strata):
        for cell, share in stratum.expected(scale, agreement).items():
            items = stratum.counts.get(cell, 0) + stratum.left * share
            if place == draw.stratum:
                items -= share * stratum.left / draw.probability
            estimate[cell] = estimate.get(cell, 0.0) + items
    drawn = strata[draw.stratum]
    cell = draw.verdict, draw.label
    estimate[cell] = estimate.get(cell, 0.0) + drawn.left / draw.probability
    return estimate
