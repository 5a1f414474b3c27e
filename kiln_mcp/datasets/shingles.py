"""Short texts as sets of shingles: the words and pairs of neighbouring words, case folded."""

from collections.abc import Collection
from itertools import pairwise
from typing import Final, TypeVar

from kiln_mcp.datasets.words import words

NEAR: Final = 0.7
"""Jaccard similarity from which two texts count as near-duplicates."""

T = TypeVar("T")


def shingles(text: str) -> frozenset[str]:
    """Return the words and pairs of neighbouring words, case folded, of a text's beginning."""
    own = list(words(text))
    return frozenset([*own, *(f"{first} {second}" for first, second in pairwise(own))])


def jaccard(first: frozenset[T], second: Collection[T]) -> float:
    """Return shared over all, 0 to 1; two empty sets are equal and give 1.

    Args:
        first: One set.
        second: The other one, or its members, each once.
    """
    shared = len(first.intersection(second))
    either = len(first) + len(second) - shared
    return shared / either if either else 1.0
