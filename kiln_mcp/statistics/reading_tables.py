"""Verdicts of several readings of clauses, as tables of passes and counts.

This module imports numpy, which is slow. Import it where it is called.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from kiln_mcp.statistics.reading_verdicts import ReadingVerdicts
from kiln_mcp.statistics.verdict_tables import Floats

_LEAST_NOISE: Final = 0.02
_MOST_NOISE: Final = 0.4


@dataclass(frozen=True, slots=True)
class ReadingTable:
    """Passes and verdicts by clause, item and reading; a cell without verdicts counts 0.

    Attributes:
        clauses: The ids along the first axis.
        items: The ids along the second axis.
        readings: The ids along the third axis.
        passes: How many verdicts of a cell are a pass.
        counts: How many verdicts a cell has.
    """

    clauses: list[str]
    items: list[str]
    readings: list[str]
    passes: Floats
    counts: Floats

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The places of each pair of readings."""
        count = len(self.readings)
        return [(first, second) for first in range(count) for second in range(first + 1, count)]

    @property
    def shares(self) -> Floats:
        """The share of passes in each cell; NaN without verdicts."""
        return np.where(self.counts > 0, self.passes / np.maximum(self.counts, 1), np.nan)

    def clause(self, place: int) -> "ReadingTable":
        """Return the table of one clause."""
        return ReadingTable(
            [self.clauses[place]],
            self.items,
            self.readings,
            self.passes[place : place + 1],
            self.counts[place : place + 1],
        )

    def flip_rates(self) -> Floats:
        """Return how often a verdict of each clause differs from its cell's usual one.

        Repeats differ with probability 2ε(1-ε), which is solved for ε. A clause without repeats
        has the rate of all clauses together; without any repeats it is 0.1.
        """
        pairs, repeat_counts = _repeat_pairs(self)
        differing, total = pairs.sum(axis=(1, 2)), repeat_counts.sum(axis=(1, 2))
        usual_share = differing.sum() / total.sum() if total.sum() else 0.18
        share = np.where(total > 0, differing / np.maximum(total, 1), usual_share)
        rates = (1 - np.sqrt(np.maximum(0.0, 1 - 2 * share))) / 2
        return np.clip(rates, _LEAST_NOISE, _MOST_NOISE)

    def pass_probabilities(self) -> Floats:
        """Return the probability that a reading, without its noise, passes each output.

        A cell's repeats are weighed by the clause's flip rate. What other readings say of the same
        output is the prior, so a cell without verdicts has their share.
        """
        total = self.counts.sum(axis=2, keepdims=True)
        consensus = (self.passes.sum(axis=2, keepdims=True) + 0.5) / (total + 1)
        rates = self.flip_rates()[:, None, None]
        evidence = (2 * self.passes - self.counts) * np.log((1 - rates) / rates)
        logits = np.log(consensus / (1 - consensus)) / 2 + evidence
        return 1 / (1 + np.exp(-logits))


def reading_table(verdicts: ReadingVerdicts) -> ReadingTable:
    """Return verdicts as a table; clauses, items and readings keep the order of their first cell.

    Raises:
        ValueError: There is no verdict.
    """
    if not any(verdicts.values()):
        raise ValueError("A table of readings needs at least one verdict.")
    clauses, items, readings = (
        list(dict.fromkeys(names)) for names in zip(*verdicts.keys(), strict=True)
    )
    clause_at, item_at, reading_at = (
        {name: place for place, name in enumerate(names)} for names in (clauses, items, readings)
    )
    shape = (len(clauses), len(items), len(readings))
    passes, counts = np.zeros(shape), np.zeros(shape)
    for cell, values in verdicts.items():
        place = clause_at[cell.clause], item_at[cell.item], reading_at[cell.reading]
        passes[place] = sum(values)
        counts[place] = len(values)
    return ReadingTable(clauses, items, readings, passes, counts)


def _repeat_pairs(table: ReadingTable) -> tuple[Floats, Floats]:
    """Return the pairs of repeats that differ, and all pairs of repeats, by cell."""
    differing = table.passes * (table.counts - table.passes)
    return differing, table.counts * (table.counts - 1) / 2


@dataclass(frozen=True, slots=True)
class PairTable:
    """Disagreements of pairs of readings, by clause, item and pair.

    Attributes:
        disagreements: How often a verdict of one differs from one of the other, 0 to 1.
        noise: How often two verdicts of one reading differ, the mean of both.
        weights: 1 where both have verdicts, else 0.
    """

    disagreements: Floats
    noise: Floats
    weights: Floats

    @property
    def excess(self) -> Floats:
        """The disagreement beyond noise: an unbiased estimate of the squared difference."""
        return np.where(self.weights > 0, self.disagreements - self.noise, 0.0)


def pair_table(table: ReadingTable) -> PairTable:
    """Return the disagreements of all pairs of readings, and the noise of their repeats.

    A cell with one verdict has the noise of its clause.
    """
    differing, repeat_counts = _repeat_pairs(table)
    clause_total = repeat_counts.sum(axis=(1, 2), keepdims=True)
    usual = differing.sum(axis=(1, 2), keepdims=True) / np.maximum(clause_total, 1)
    noise = np.where(repeat_counts > 0, differing / np.maximum(repeat_counts, 1), usual)
    shares = np.nan_to_num(table.shares)
    first = [pair[0] for pair in table.pairs]
    second = [pair[1] for pair in table.pairs]
    a, b = shares[..., first], shares[..., second]
    weights = ((table.counts[..., first] > 0) & (table.counts[..., second] > 0)).astype(float)
    return PairTable(
        disagreements=(a * (1 - b) + b * (1 - a)) * weights,
        noise=(noise[..., first] + noise[..., second]) / 2 * weights,
        weights=weights,
    )
