"""Short texts as sets of shingles: the words and pairs of neighbouring words, case folded."""

import re
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEAR: Final = 0.7
"""Jaccard similarity from which two texts count as near-duplicates."""

T = TypeVar("T")

_WORD: Final = re.compile(r"\w+")
_LONGEST: Final = 1_000_000
"""How many characters of a text are compared."""


def shingles(text: str) -> frozenset[str]:
    """Return the words and pairs of neighbouring words, case folded, of a text's beginning."""
    return frozenset(_in_order(text))


def words(text: str) -> Iterator[str]:
    """Yield the words, case folded, of a text's beginning.

    Each is read only when it is needed: a list of all words takes 100 times the text's memory.
    """
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
class ShingleSets:
    """The different sets of shingles of some texts, as numbers.

    Attributes:
        set_of: The place of each text's set among the different ones.
        numbers: The shingles of all sets, one set after the other, ascending within each. Rarer
            shingles have smaller numbers.
        starts: Where each set begins in `numbers`.
        sizes: How many shingles each set has.
        shingle_count: How many different shingles there are.
    """

    set_of: "NDArray[np.int64]"
    numbers: "NDArray[np.int64]"
    starts: "NDArray[np.int64]"
    sizes: "NDArray[np.int64]"
    shingle_count: int

    def __len__(self) -> int:
        """Return how many different sets there are."""
        return len(self.sizes)

    def members(self, place: int) -> list[int]:
        """Return the shingles of one set, the rarest first."""
        start = int(self.starts[place])
        shingle_numbers: list[int] = self.numbers[start : start + int(self.sizes[place])].tolist()
        return shingle_numbers


def shingle_sets(texts: Sequence[str]) -> ShingleSets:
    """Return the sets of shingles of texts, always the same for the same texts."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    numbers: dict[str, int] = {}
    places: dict[bytes, int] = {}
    set_of, members, sizes = array("q"), array("q"), array("q")
    for text in texts:
        own = sorted(numbers.setdefault(shingle, len(numbers)) for shingle in _in_order(text))
        key = array("q", own).tobytes()
        place = places.setdefault(key, len(places))
        if place == len(sizes):
            members.extend(own)
            sizes.append(len(own))
        set_of.append(place)
    flat, set_sizes = np.array(members, dtype=np.int64), np.array(sizes, dtype=np.int64)
    ranks = np.empty(len(numbers), dtype=np.int64)
    counts = np.bincount(flat, minlength=len(numbers))
    ranks[np.argsort(counts, kind="stable")] = np.arange(len(numbers))
    owners = np.repeat(np.arange(len(set_sizes)), set_sizes)
    shingle_ranks = ranks[flat]
    shingle_ranks = shingle_ranks[np.lexsort((shingle_ranks, owners))]
    starts = np.cumsum(set_sizes) - set_sizes
    return ShingleSets(
        np.array(set_of, dtype=np.int64), shingle_ranks, starts, set_sizes, len(numbers)
    )


def _in_order(text: str) -> dict[str, None]:
    """Return the shingles of a text in the order of the text, so that nothing depends on hashes."""
    result: dict[str, None] = {}
    previous = None
    for word in words(text):
        result[word] = None
        if previous is not None:
            result[f"{previous} {word}"] = None
        previous = word
    return result
