"""Simulated panels: verdicts of readings on clauses, with noise of several structures."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from kiln_mcp.statistics.reading_verdicts import Cell, ReadingVerdicts

Noise = Literal["even", "readings", "items", "lenient", "sticky", "pairs", "one-sided", "missing"]
NOISES: Final[tuple[Noise, ...]] = (
    "even", "readings", "items", "lenient", "sticky", "pairs", "one-sided", "missing",
)  # fmt: skip
"""Every verdict flips alike; each reading has its own rate; each output has its own rate; one
reading passes what others fail; half of the flips repeat themselves; those are the same for two
readings each, as for two prompts of one model; only passes flip; a fifth of the cells is empty."""
Ambiguity = Literal["none", "groups", "dissenter", "degrees", "own"]
"""How readings of the planted clause part: two groups, one reading against all, one threshold
each, or one opinion each on contested outputs."""


@dataclass(frozen=True, slots=True)
class PanelDesign:
    """A kind of panel; see `draw_panel`.

    Attributes:
        items: Outputs.
        clauses: Clauses.
        readings: Readings.
        repeats: Verdicts of each cell.
        flips: How often a verdict flips.
        contested: The share of outputs on which readings of the planted clause can differ.
        noise: The structure of the flips.
        ambiguity: How the readings of the planted clause differ.
        planted: How many clauses are ambiguous.
    """

    items: int = 24
    clauses: int = 6
    readings: int = 4
    repeats: int = 2
    flips: float = 0.1
    contested: float = 0.3
    noise: Noise = "even"
    ambiguity: Ambiguity = "groups"
    planted: int = 1


def draw_panel(design: PanelDesign, draw: np.random.Generator) -> tuple[ReadingVerdicts, set[str]]:
    """Return the verdicts of a panel, and the clauses that are ambiguous."""
    shape = (design.clauses, design.items, design.readings)
    shares = draw.uniform(0.3, 0.85, (design.clauses, 1, 1))
    truth = np.broadcast_to(draw.random((design.clauses, design.items, 1)) < shares, shape).copy()
    planted = draw.choice(design.clauses, design.planted, replace=False)
    if design.ambiguity != "none":
        for clause in planted:
            truth[clause] = _part(truth[clause], design, draw)
    rates = _rates(design, truth, draw)
    sticky = np.zeros(shape, dtype=bool)
    if design.noise in {"sticky", "pairs"}:
        sticky = draw.random(shape) < rates / 2
        rates = rates / 2
    if design.noise == "pairs":
        sticky[..., 1::2] = sticky[..., 0 : 2 * (design.readings // 2) : 2]
    flipped = draw.random((*shape, design.repeats)) < rates[..., None]
    verdicts = truth[..., None] ^ sticky[..., None] ^ flipped
    kept = draw.random(shape) >= (0.2 if design.noise == "missing" else 0.0)
    panel = {
        Cell(f"c{c}", f"i{i}", f"r{r}"): [bool(v) for v in verdicts[c, i, r]]
        for c, i, r in np.ndindex(shape)
        if kept[c, i, r]
    }
    names = {f"c{clause}" for clause in planted} if design.ambiguity != "none" else set[str]()
    return panel, names


def _part(truth: np.ndarray, design: PanelDesign, draw: np.random.Generator) -> np.ndarray:
    """Return what each reading of an ambiguous clause says."""
    items, readings = truth.shape
    count = max(1, round(design.contested * items))
    contested = draw.choice(items, count, replace=False)
    truth = truth.copy()
    order = draw.permutation(readings)
    match design.ambiguity:
        case "groups":
            for reading in order[: max(1, readings // 2)]:
                truth[contested, reading] = ~truth[contested, reading]
        case "dissenter":
            truth[contested, order[0]] = ~truth[contested, order[0]]
        case "degrees":
            limits = draw.random(readings)
            levels = draw.random(count)
            truth[contested] = levels[:, None] < limits[None]
        case _:
            truth[contested] = draw.random((count, readings)) < 0.5
    return truth


def _rates(design: PanelDesign, truth: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return how often a verdict of each cell flips; the mean is about `flips`."""
    rates = np.full(truth.shape, design.flips)
    match design.noise:
        case "readings":
            rates = rates * draw.uniform(0.2, 1.8, (1, 1, design.readings))
        case "items":
            own = draw.choice([0.3, 3.0], (design.clauses, design.items, 1), p=[0.74, 0.26])
            rates = np.minimum(rates * own, 0.5)
        case "lenient":
            rates[:, :, 0] = np.where(truth[:, :, 0], 0.0, 0.1 + 2 * design.flips)
        case "one-sided":
            rates = np.where(truth, 2 * design.flips, 0.0)
        case _:
            pass
    return rates
