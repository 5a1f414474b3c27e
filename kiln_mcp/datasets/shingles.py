"""Short texts as sets of shingles: the words and pairs of neighbouring words, case folded."""

import math
import re
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

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


def prefix_size(size: int, threshold: float) -> int:
    """Return how many of its rarest shingles a set must share one of with one so much alike."""
    return size - math.ceil(threshold * size - 1e-9) + 1


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

    set_of: "Places"
    numbers: "Places"
    starts: "Places"
    sizes: "Places"
    shingle_count: int

    def __len__(self) -> int:
        """Return how many different sets there are."""
        return len(self.sizes)

    def members(self, place: int) -> list[int]:
        """Return the shingles of one set, the rarest first."""
        start = int(self.starts[place])
        shingle_numbers: list[int] = self.numbers[start : start + int(self.sizes[place])].tolist()
        return shingle_numbers

    def owners(self) -> "Places":
        """Return the set of each of the shingles of all sets."""
        import numpy as np  # imported here: heavy, and most processes measure no data

        return np.repeat(np.arange(len(self)), self.sizes)

    def frequencies(self) -> "Places":
        """Return how many sets have each shingle."""
        import numpy as np  # imported here: as above

        return np.bincount(self.numbers, minlength=self.shingle_count)

    def subset(self, places: "Places") -> "ShingleSets":
        """Return some of the sets; their shingles are numbered by how rare they are among these."""
        import numpy as np  # imported here: as above

        sizes = self.sizes[places]
        begins = np.cumsum(sizes) - sizes
        steps = np.repeat(self.starts[places] - begins, sizes)
        members = self.numbers[steps + np.arange(steps.size)]
        return _ranked_sets(np.arange(len(places)), members, sizes, self.shingle_count)


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
    return _ranked_sets(
        np.array(set_of, dtype=np.int64),
        np.array(members, dtype=np.int64),
        np.array(sizes, dtype=np.int64),
        len(numbers),
    )


def _ranked_sets(
    set_of: "Places", members: "Places", sizes: "Places", shingle_count: int
) -> ShingleSets:
    """Return sets with their shingles numbered by how rare they are.

    Args:
        set_of: The place of each text's set.
        members: The shingles of all sets, one set after the other.
        sizes: How many shingles each set has.
        shingle_count: How many different shingles there are.
    """
    import numpy as np  # imported here: heavy, and most processes measure no data

    ranks = np.empty(shingle_count, dtype=np.int64)
    counts = np.bincount(members, minlength=shingle_count)
    ranks[np.argsort(counts, kind="stable")] = np.arange(shingle_count)
    offsets = np.repeat(np.arange(len(sizes)), sizes) * shingle_count
    numbers = np.sort(offsets + ranks[members]) - offsets
    return ShingleSets(set_of, numbers, np.cumsum(sizes) - sizes, sizes, shingle_count)


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
