"""Words of texts, and how much two texts speak of the same thing."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"\w+")
_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+|\n+")

STALE_FROM: Final = 1.03
"""Weights are counted again when there are so many times the texts."""

MOST_PAIRS: Final = 65_536
"""Pairs of texts whose likeness is kept."""

Words = frozenset[str]
Pairs = dict[tuple[Words, Words], float]


@lru_cache(maxsize=8192)
def words_of(text: str) -> Words:
    """Return the words of a text in small letters."""
    return frozenset(_WORD.findall(text.lower()))


@lru_cache(maxsize=8192)
def sentences_of(text: str) -> tuple[Words, ...]:
    """Return the words of each sentence of a text."""
    parts = (words_of(part) for part in _SENTENCE.split(text))
    return tuple(dict.fromkeys(part for part in parts if part))


def _keep(pairs: Pairs, pair: tuple[Words, Words], value: float) -> float:
    if len(pairs) >= MOST_PAIRS:
        pairs.clear()
    pairs[pair] = value
    return value


class WordWeights:
    """Weights of words: the rarer a word is in what was added, the more it says.

    Weights are counted again when there is clearly more to count. Sums are exact, because the order
    of a set's words differs from process to process.
    """

    def __init__(self) -> None:
        self._texts = 0
        self._counts: Counter[str] = Counter()
        self._weights: dict[str, float] = {}
        self._sums: dict[Words, float] = {}
        self._likeness: Pairs = {}
        self._coverage: Pairs = {}
        self._count_then = 0

    def add(self, texts: Iterable[Words]) -> None:
        """Count the words of texts."""
        for words in texts:
            self._texts += 1
            self._counts.update(words)
        if self._texts > self._count_then * STALE_FROM:
            self._count_then = self._texts
            self._weights.clear()
            self._sums.clear()
            self._likeness.clear()
            self._coverage.clear()

    def weight(self, word: str) -> float:
        """Return the weight of a word."""
        weight = self._weights.get(word)
        if weight is None:
            share = (self._texts + 1) / (self._counts[word] + 0.5)
            weight = self._weights[word] = max(0.01, math.log(share))
        return weight

    def likeness(self, first: Words, second: Words) -> float:
        """Return from 0 to 1 how much two texts share, by the weights of their words."""
        pair = (first, second)
        likeness = self._likeness.get(pair)
        if likeness is None:
            likeness = _keep(self._likeness, pair, self._likeness_of(first, second))
        return likeness

    def coverage(self, text: Words, part: Words) -> float:
        """Return from 0 to 1 how much of a part's words stand in a whole, by their weights."""
        pair = (text, part)
        coverage = self._coverage.get(pair)
        if coverage is None:
            total = self._sum(part)
            share = self._sum(part & text) / total if total else 0.0
            coverage = _keep(self._coverage, pair, share)
        return coverage

    def _likeness_of(self, first: Words, second: Words) -> float:
        shared = first & second
        if not shared:
            return 0.0
        common = self._sum(shared)
        return common / (self._sum(first) + self._sum(second) - common)

    def _sum(self, words: Words) -> float:
        """Return the weights of words together."""
        total = self._sums.get(words)
        if total is None:
            total = self._sums[words] = math.fsum(map(self.weight, words))
        return total
