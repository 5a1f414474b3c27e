"""Groups of many sets, by comparing those that are probably alike.

Three kinds of pairs are compared: sets that are the same but for their rare shingles, sets that
share a rare shingle with few others, and neighbours by MinHash. Sets that are in one group already
are not compared again.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Final

from kiln_mcp.datasets.minhash import MinHashes
from kiln_mcp.datasets.partition import Partition
from kiln_mcp.datasets.set_bits import SetBits
from kiln_mcp.datasets.set_classes import common_shingles, counts_up_to
from kiln_mcp.datasets.shingles import ShingleSets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]
    Pairs = tuple[Places, Places]

_SMALL_GROUP: Final = 16
"""Sets that share a rare shingle, up to which all of them are compared."""
_COMMONER: Final = 4
"""The factor between one bound of rare shingles and the next."""
_VERIFIED_TOGETHER: Final = 50_000


def groups_of_neighbours(
    sets: ShingleSets, threshold: float, on_comparisons: Callable[[int], None]
) -> "Places":
    """Return a group for each set, named by the lowest place in it.

    Args:
        sets: The sets.
        threshold: The least similarity of two that are alike.
        on_comparisons: Called with the number of pairs before they are compared.
    """
    bits, hashes, exact = SetBits(sets), MinHashes(sets), _ExactSimilarity(sets)
    partition = Partition(len(sets))
    pairs = chain(_equal_but_rare(sets), _sharing_few(sets, threshold), hashes.neighbours())
    for firsts, seconds in pairs:
        is_apart = partition.are_apart(firsts, seconds)
        firsts, seconds = firsts[is_apart], seconds[is_apart]
        on_comparisons(firsts.size)
        for begin in range(0, firsts.size, _VERIFIED_TOGETHER):
            part = slice(begin, begin + _VERIFIED_TOGETHER)
            first, second = firsts[part], seconds[part]
            for sketch in (bits, hashes):
                may_be = sketch.may_be_alike(first, second, threshold)
                first, second = first[may_be], second[may_be]
            alike = exact.of(first, second) >= threshold
            partition.join(first[alike], second[alike])
    return partition.roots


def rarest_shingles(sets: ShingleSets, threshold: float) -> tuple["Places", "Places"]:
    """Return the shingles of which two sets so much alike share one, and the set of each."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    sizes = sets.sizes - np.ceil(threshold * sets.sizes - 1e-9).astype(np.int64) + 1
    sizes = np.minimum(sizes, sets.sizes)
    begins = np.cumsum(sizes) - sizes
    steps = np.repeat(sets.starts - begins, sizes)
    rarest: Places = sets.numbers[steps + np.arange(steps.size)]
    return rarest, np.repeat(np.arange(len(sets)), sizes)


def _equal_but_rare(sets: ShingleSets) -> Iterator["Pairs"]:
    """Yield pairs of sets that are the same but for rare shingles, for several bounds of rare."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    highest, bound = int(sets.frequencies().max(initial=0)), _COMMONER
    while bound < highest:
        common = common_shingles(sets, counts_up_to(sets, bound))
        order = np.lexsort((sets.sizes, common))
        (ends,) = np.nonzero(common[order[1:]] == common[order[:-1]])
        yield order[ends], order[ends + 1]
        bound *= _COMMONER


def _sharing_few(sets: ShingleSets, threshold: float) -> Iterator["Pairs"]:
    """Yield the pairs that share one of their rarest shingles with few others, some at a time."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    rarest, owners = rarest_shingles(sets, threshold)
    is_rare = np.bincount(rarest, minlength=sets.shingle_count)[rarest] <= _SMALL_GROUP
    rarest, owners = rarest[is_rare], owners[is_rare]
    order = np.argsort(rarest, kind="stable")
    rarest, owners = rarest[order], owners[order]
    for distance in range(1, _SMALL_GROUP):
        (ends,) = np.nonzero(rarest[distance:] == rarest[:-distance])
        yield owners[ends], owners[ends + distance]


class _ExactSimilarity:
    """Compares many pairs of sets at once.

    Args:
        sets: The sets.
    """

    def __init__(self, sets: ShingleSets) -> None:
        import numpy as np  # imported here: heavy, and most processes measure no data

        self._numpy = np
        self._sets = sets
        self._keys = sets.owners() * sets.shingle_count + sets.numbers  # ascending

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
