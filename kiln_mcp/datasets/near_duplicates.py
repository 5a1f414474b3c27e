"""Groups of texts that are nearly the same, in time that grows with their number.

Where few texts share a rare shingle, all that do are compared, and no pair is missed. Texts made
from templates share their rarest shingles with thousands of others. Then those are compared that
share one with few others, and neighbours by MinHash. Either way two texts count as alike only if
their exact similarity says so. Texts that are in one group already are not compared again.
"""

import itertools
import math
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from kiln_mcp.datasets.minhash import MinHashes
from kiln_mcp.datasets.shingles import NEAR, ShingleSets, shingle_sets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

_COMPARISONS: Final = 40
"""Comparisons for each set, up to which all that share a rare shingle are compared."""
_FREE_COMPARISONS: Final = 50_000
"""Comparisons that are made in any case."""
_SMALL_GROUP: Final = 16
"""Sets that share a rare shingle, up to which all of them are compared."""
_VERIFIED_TOGETHER: Final = 50_000
_NOTHING: Final = -1
"""Stands for the shingle of a text that has none."""


def near_duplicates(sets: ShingleSets, threshold: float = NEAR) -> Iterator[tuple[int, int]]:
    """Yield all pairs of different sets that are at least `threshold` alike, the earlier one first.

    Two sets so alike share one of the rarest shingles of each: as many as may be missing and one
    more. So only sets that do are compared. Where many share them, this takes time with the square
    of their number.

    Source:
        Chaudhuri, Ganti and Kaushik (2006), A Primitive Operator for Similarity Joins in Data
        Cleaning: the prefix filter.
    """
    with_shingle: dict[int, array[int]] = defaultdict(lambda: array("q"))
    members: list[frozenset[int]] = []
    for second in range(len(sets)):
        own = sets.members(second)
        candidates: set[int] = set()
        for shingle in own[: _prefix_size(len(own), threshold)] or (_NOTHING,):
            candidates.update(with_shingle[shingle])
            with_shingle[shingle].append(second)
        own_set = frozenset(own)
        members.append(own_set)
        for first in sorted(candidates):
            if _similarity(own_set, members[first]) >= threshold:
                yield first, second


def _ignore(_: int) -> None:
    """Take a count of pairs that nobody asked for."""


def groups_of_sets(
    sets: ShingleSets, threshold: float = NEAR, on_comparisons: Callable[[int], None] = _ignore
) -> list[int]:
    """Return a group for each set: sets that are alike are in one, also by way of others.

    The group's name is the place of one of its sets. Always the same for the same sets.

    Args:
        sets: The sets.
        threshold: The least similarity of two that are alike.
        on_comparisons: Called with the number of pairs before they are compared.
    """
    comparisons = _comparisons(sets, threshold)
    if comparisons <= max(_FREE_COMPARISONS, _COMPARISONS * len(sets)):
        on_comparisons(comparisons)
        union = _Union(len(sets))
        union.join(near_duplicates(sets, threshold))
        return union.roots()
    return _groups_of_neighbours(sets, threshold, on_comparisons)


def duplicate_count(sets: ShingleSets) -> int:
    """Return how many texts have one before them in the same group."""
    return len(sets.set_of) - len(set(groups_of_sets(sets)))


def group_names(texts: Sequence[str], keys: Sequence[str | None]) -> tuple[str, ...]:
    """Return a group name for each text: near-duplicates and equal keys share one.

    Args:
        texts: The items' inputs.
        keys: The topic or template of each, None if it has none.
    """
    sets = shingle_sets(texts)
    roots = groups_of_sets(sets)
    set_of: list[int] = sets.set_of.tolist()
    union = _Union(len(texts))
    first_with: dict[str | int, int] = {}
    for place, (key, own) in enumerate(zip(keys, set_of, strict=True)):
        union.join([(first_with.setdefault(roots[own], place), place)])
        if key is not None:
            union.join([(first_with.setdefault(key, place), place)])
    return tuple(f"group {root}" for root in union.roots())


def _similarity(first: frozenset[int], second: frozenset[int]) -> float:
    shared = len(first & second)
    either = len(first) + len(second) - shared
    return shared / either if either else 1.0


def _prefix_size(size: int, threshold: float) -> int:
    """Return how many of its rarest shingles a set must share one of with one so much alike."""
    return size - math.ceil(threshold * size - 1e-9) + 1


def _rarest(sets: ShingleSets, threshold: float) -> tuple["Places", "Places"]:
    """Return the shingles of which two sets so much alike share one, and the set of each."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    sizes = sets.sizes - np.ceil(threshold * sets.sizes - 1e-9).astype(np.int64) + 1
    sizes = np.minimum(sizes, sets.sizes)
    begins = np.cumsum(sizes) - sizes
    steps = np.repeat(sets.starts - begins, sizes)
    rarest: Places = sets.numbers[steps + np.arange(steps.size)]
    return rarest, np.repeat(np.arange(len(sets)), sizes)


def _comparisons(sets: ShingleSets, threshold: float) -> int:
    """Return how many comparisons the prefix filter leaves at most."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    sharing = np.bincount(_rarest(sets, threshold)[0], minlength=1)
    return int((sharing * (sharing - 1)).sum()) // 2


def _sharing_few(sets: ShingleSets, threshold: float) -> Iterator[tuple["Places", "Places"]]:
    """Yield the pairs that share one of their rarest shingles with few others, some at a time."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    rarest, owners = _rarest(sets, threshold)
    is_rare = np.bincount(rarest, minlength=sets.shingle_count)[rarest] <= _SMALL_GROUP
    rarest, owners = rarest[is_rare], owners[is_rare]
    order = np.argsort(rarest, kind="stable")
    rarest, owners = rarest[order], owners[order]
    for distance in range(1, _SMALL_GROUP):
        (ends,) = np.nonzero(rarest[distance:] == rarest[:-distance])
        yield owners[ends], owners[ends + distance]


def _groups_of_neighbours(
    sets: ShingleSets, threshold: float, on_comparisons: Callable[[int], None]
) -> list[int]:
    """Return a group for each set, of comparing neighbours by MinHash alone."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    hashes, union = MinHashes(sets), _Union(len(sets))
    exact = _ExactSimilarity(sets)
    roots = np.arange(len(sets))
    for firsts, seconds in itertools.chain(_sharing_few(sets, threshold), hashes.neighbours()):
        is_open = roots[firsts] != roots[seconds]
        firsts, seconds = firsts[is_open], seconds[is_open]
        on_comparisons(firsts.size)
        for begin in range(0, firsts.size, _VERIFIED_TOGETHER):
            part = slice(begin, begin + _VERIFIED_TOGETHER)
            first, second = firsts[part], seconds[part]
            may_be = hashes.may_be_alike(first, second, threshold)
            first, second = first[may_be], second[may_be]
            alike = exact.of(first, second) >= threshold
            union.join(zip(first[alike].tolist(), second[alike].tolist(), strict=True))
        roots = np.array(union.roots())
    return union.roots()


class _ExactSimilarity:
    """Compares many pairs of sets at once.

    Args:
        sets: The sets.
    """

    def __init__(self, sets: ShingleSets) -> None:
        import numpy as np  # imported here: heavy, and most processes measure no data

        self._numpy = np
        self._sets = sets
        owners = np.repeat(np.arange(len(sets)), sets.sizes)
        self._keys = owners * sets.shingle_count + sets.numbers  # ascending

    def of(self, firsts: "Places", seconds: "Places") -> "NDArray[np.float64]":
        """Return the similarity of each pair, 0 to 1; two empty sets are never a pair."""
        np, sets = self._numpy, self._sets
        sizes = sets.sizes[firsts]
        begins = np.cumsum(sizes) - sizes
        steps = np.repeat(sets.starts[firsts] - begins, sizes)
        numbers = sets.numbers[steps + np.arange(steps.size)]
        pairs = np.repeat(np.arange(firsts.size), sizes)
        keys = seconds[pairs] * sets.shingle_count + numbers
        places = np.minimum(np.searchsorted(self._keys, keys), self._keys.size - 1)
        is_shared = self._keys[places] == keys
        shared = np.bincount(pairs[is_shared], minlength=firsts.size)
        return shared / (sizes + sets.sizes[seconds] - shared)


class _Union:
    """Joins places to groups.

    Args:
        count: How many places there are.
    """

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def join(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Put the two places of each pair into one group."""
        for first, second in pairs:
            self._parents[self._root(second)] = self._root(first)

    def roots(self) -> list[int]:
        """Return for each place the one that its group is named by."""
        return [self._root(place) for place in range(len(self._parents))]

    def _root(self, place: int) -> int:
        parents = self._parents
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place
