"""Near-duplicates and diversity of short texts, by the words and word pairs that they share."""

import itertools
import math
import random
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, TypeVar

NEAR: Final = 0.7
"""Jaccard similarity from which two texts count as near-duplicates."""

T = TypeVar("T")

_WORD: Final = re.compile(r"\w+")
_LONGEST: Final = 1_000_000
"""How many characters of a text are compared."""
_REACH: Final = 500
_SAMPLE_SIZE: Final = 1000


def shingles(text: str) -> frozenset[str]:
    """Return the words and pairs of neighbouring words, case folded, of a text's beginning.

    Each is read only when it is needed: a list of all words takes 100 times the text's memory.
    """
    result: set[str] = set()
    previous = None
    for word in _words(text):
        result.add(word)
        if previous is not None:
            result.add(f"{previous} {word}")
        previous = word
    return frozenset(result)


def _words(text: str) -> Iterator[str]:
    return (match.group() for match in _WORD.finditer(text[:_LONGEST].casefold()))


def jaccard(first: frozenset[T], second: Collection[T]) -> float:
    """Return shared over all, 0 to 1; two empty sets are equal and give 1.

    Args:
        first: One set.
        second: The other one, or its members, each once.
    """
    shared = len(first.intersection(second))
    either = len(first) + len(second) - shared
    return shared / either if either else 1.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two items that are nearly the same; `first` < `second` are positions."""

    first: int
    second: int
    similarity: float


def near_duplicates(texts: Sequence[str], threshold: float = NEAR) -> Iterator[Pair]:
    """Yield the pairs of texts at least `threshold` alike, in the order of the texts.

    Two texts so alike share one of the rarest shingles of each, as many as may be missing and one
    more, so only texts that do are compared (the prefix filter of Chaudhuri, Ganti and Kaushik,
    2006). Where all are made of the same few words, a text is compared with 500 before it that
    share the rarest, or a few more, and not with all.
    """
    numbers_by_text = _number_shingles(texts)
    with_shingle: dict[int, list[int]] = defaultdict(list)
    for second, own in enumerate(numbers_by_text):
        rarest = own[: len(own) - _least_shared(len(own), threshold) + 1] or (_NOTHING,)
        candidates: set[int] = set()
        for shingle in rarest:
            if len(candidates) < _REACH:
                candidates.update(with_shingle[shingle][-_REACH:])
            with_shingle[shingle].append(second)
        members = frozenset(own)
        for first in sorted(candidates):
            similarity = jaccard(members, numbers_by_text[first])
            if similarity >= threshold:
                yield Pair(first, second, round(similarity, 4))


_NOTHING: Final = -1
"""Stands for the shingle of a text that has none: such texts are all alike."""


def _number_shingles(texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Return each text's shingles as numbers, ascending; rarer shingles have smaller ones."""
    numbers: dict[str, int] = {}
    counts: Counter[int] = Counter()
    texts_of_numbers: list[array[int]] = []
    for text in texts:
        own = array("q", (numbers.setdefault(s, len(numbers)) for s in shingles(text)))
        counts.update(own)
        texts_of_numbers.append(own)
    by_name = sorted(numbers, key=lambda shingle: (counts[numbers[shingle]], shingle))
    ranks = array("q", bytes(8 * len(numbers)))
    for rank, shingle in enumerate(by_name):
        ranks[numbers[shingle]] = rank
    return [tuple(sorted(ranks[number] for number in own)) for own in texts_of_numbers]


def _least_shared(size: int, threshold: float) -> int:
    """Return how many shingles a text of so many must share with one that is so much alike."""
    return math.ceil(threshold * size - 1e-9)


def group_names(texts: Sequence[str], keys: Sequence[str | None]) -> tuple[str, ...]:
    """Return a group name for each text: near-duplicates and equal keys share one.

    Args:
        texts: The items' inputs.
        keys: The topic or template of each, None if it has none.
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
        nearest_similarity: Mean similarity of a text to its nearest other text, 0 to 1; of more
            than 1,000 texts as many are drawn (always the same), and compared with all.
    """

    distinct_pairs: float
    nearest_similarity: float


def diversity(texts: Sequence[str]) -> Diversity:
    """Measure the texts; fewer than two count as fully diverse."""
    pairs: Counter[str] = Counter()
    for text in texts:
        pairs.update(f"{a} {b}" for a, b in itertools.pairwise(_words(text)))
    nearest = _nearest(texts) if len(texts) > 1 else [0.0]
    return Diversity(
        distinct_pairs=round(len(pairs) / pairs.total(), 4) if pairs else 1.0,
        nearest_similarity=round(fmean(nearest), 4),
    )


def _nearest(texts: Sequence[str]) -> list[float]:
    """Return the similarity of texts to their nearest other one; of at most 1,000 of them."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    numbers_by_text = _number_shingles(texts)
    sizes = np.array([len(own) for own in numbers_by_text])
    with_shingle: dict[int, array[int]] = defaultdict(lambda: array("q"))
    for place, own in enumerate(numbers_by_text):
        for shingle in own:
            with_shingle[shingle].append(place)
    sample = random.Random(0).sample(
        range(len(numbers_by_text)), min(len(numbers_by_text), _SAMPLE_SIZE)
    )
    similarities: list[float] = []
    for place in sample:
        meetings = [
            np.frombuffer(with_shingle[shingle], dtype=np.int64)
            for shingle in numbers_by_text[place]
        ]
        if not meetings:
            similarities.append(float((sizes == 0).sum() > 1))
            continue
        shared = np.bincount(np.concatenate(meetings), minlength=len(numbers_by_text))
        similarity = shared / (sizes + sizes[place] - shared)
        similarity[place] = 0.0
        similarities.append(float(similarity.max()))
    return similarities
