"""Verdicts of several readings of clauses."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Cell(NamedTuple):
    """One output, judged by one clause under one reading of it."""

    clause: str
    item: str
    reading: str


ReadingVerdicts = Mapping[Cell, Sequence[bool]]
"""The verdicts of each cell: whether the output passes, once for each repeat."""
