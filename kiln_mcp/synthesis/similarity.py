"""Near-duplicates and diversity of short texts, by the words and word pairs that they share."""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NEAR: Final = 0.7
"""Jaccard similarity from which two texts count as near-duplicates."""

_WORD: Final = re.compile(r"\w+")
_REACH: Final = 500


def shingles(text: str) -> frozenset[str]:
    """Return the text's words and pairs of neighbouring words, case folded."""
    words = _WORD.findall(text.casefold())
    pairs = (f"{first} {second}" for first, second in itertools.pairwise(words))
    return frozenset((*words, *pairs))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Return shared over all, 0 to 1; two empty sets are equal and give 1."""
    if not first and not second:
        return 1.0
    return len(first & second) / len(first | second)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two items that are nearly the same; `first` < `second` are positions."""

    first: int
    second: int
    similarity: float


def near_duplicates(texts: Sequence[str], threshold: float = NEAR) -> tuple[Pair, ...]:
    """Return the pairs of texts at least `threshold` alike, in the order of the texts."""
    sets = [shingles(text) for text in texts]
    found: list[Pair] = []
    for second, first in sorted(_candidates(sets)):
        similarity = jaccard(sets[first], sets[second])
        if similarity >= threshold:
            found.append(Pair(first, second, round(similarity, 4)))
    return tuple(found)


def _candidates(sets: Sequence[frozenset[str]]) -> set[tuple[int, int]]:
    """Return the pairs that share a shingle, and the pairs of texts without any.

    A shingle that is nearly everywhere would give the square of the number of texts, so each text
    meets at most the `_REACH` texts before it that share one.
    """
    buckets: dict[str, list[int]] = defaultdict(list)
    for place, held in enumerate(sets):
        for shingle in held or {""}:
            buckets[shingle].append(place)
    return {
        (second, first)
        for places in buckets.values()
        for index, second in enumerate(places)
        for first in places[max(0, index - _REACH) : index]
    }


def grouped(texts: Sequence[str], keys: Sequence[str | None]) -> tuple[str, ...]:
    """Return a group name for each text: near-duplicates and equal keys share one.

    Args:
        texts: The items' inputs.
        keys: The topic or template of each, None where it has none.
    """
    parent = list(range(len(texts)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first_of: dict[str, int] = {}
    for place, key in enumerate(keys):
        if key is not None:
            parent[root(place)] = root(first_of.setdefault(key, place))
    for pair in near_duplicates(texts):
        parent[root(pair.second)] = root(pair.first)
    return tuple(f"group {root(place)}" for place in range(len(texts)))


@dataclass(frozen=True, slots=True)
class Diversity:
    """How varied texts are.

    Attributes:
        distinct_pairs: Different word pairs over all word pairs, 0 to 1; 1 for no repetition.
        nearest_similarity: Mean similarity of a text to its nearest other text, 0 to 1.
    """

    distinct_pairs: float
    nearest_similarity: float


def diversity(texts: Sequence[str]) -> Diversity:
    """Measure the texts; fewer than two count as fully diverse."""
    sets = [shingles(text) for text in texts]
    pairs: Counter[str] = Counter()
    for text in texts:
        words = _WORD.findall(text.casefold())
        pairs.update(f"{a} {b}" for a, b in itertools.pairwise(words))
    nearest = [0.0] * len(texts)
    for second, first in _candidates(sets):
        similarity = jaccard(sets[first], sets[second])
        nearest[first] = max(nearest[first], similarity)
        nearest[second] = max(nearest[second], similarity)
    return Diversity(
        distinct_pairs=round(len(pairs) / pairs.total(), 4) if pairs else 1.0,
        nearest_similarity=round(sum(nearest) / len(nearest), 4) if len(texts) > 1 else 0.0,
    )
