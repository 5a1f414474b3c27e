"""Pairs of sets that are probably much alike, by MinHash and sorted neighbours.

Comparing all sets that share something takes time with the square of their number where texts come
from a template. Here it grows with their number, whatever they share.

Source:
    A. Broder, On the resemblance and containment of documents, 1997 (MinHash); M. Bawa,
    T. Condie, P. Ganesan, LSH forest, 2005 (sets sorted by their hashes).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from kiln_mcp.datasets.shingles import ShingleSets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

_SEED: Final = 0
_HASHES: Final = 128
_ORDERS: Final = 32
"""How often the sets are sorted, each time by other hashes."""
_ROWS: Final = 4
"""Hashes that neighbours must share: two sets that are 0.7 alike share them in one of 32 orders
with a probability of 0.9998."""
_NEIGHBOURS: Final = 8
"""Sets before it, in an order, that a set is compared with."""
_SPREAD: Final = 3.5
"""Standard deviations by which an estimate may lie below the similarity."""


class MinHashes:
    """The signatures of sets.

    Args:
        sets: The sets.
    """

    def __init__(self, sets: ShingleSets) -> None:
        import numpy as np  # imported here: heavy, and most processes measure no data

        self._numpy = np
        random = np.random.default_rng(_SEED)
        hashes = random.permutation(sets.shingle_count).astype(np.uint64)
        hashes = (hashes + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
        factors = random.integers(1, 2**63, _HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        offsets = random.integers(0, 2**63, _HASHES, dtype=np.uint64)
        (rows,) = np.nonzero(sets.sizes)  # no minimum of nothing
        starts = sets.starts[rows]
        self._signatures = np.full((_HASHES, len(sets)), -1, dtype=np.int64).astype(np.uint32)
        for place, (factor, offset) in enumerate(zip(factors, offsets, strict=True)):
            values = ((hashes * factor + offset) >> np.uint64(32)).astype(np.uint32)
            if rows.size:
                minima = np.minimum.reduceat(values[sets.numbers], starts)
                self._signatures[place, rows] = minima
        self._short = np.ascontiguousarray(self._signatures.astype(np.uint8).T)

    def neighbours(self) -> Iterator[tuple["Places", "Places"]]:
        """Yield pairs of sets that are neighbours and share some hashes, one order at a time."""
        np = self._numpy
        for number in range(_ORDERS):
            keys = [self._key(number * _ROWS + 2 * step) for step in range(_ROWS)]
            order = np.lexsort(keys[::-1])
            first, second = keys[0][order], keys[1][order]
            for distance in range(1, _NEIGHBOURS + 1):
                is_bucket = first[distance:] == first[:-distance]
                is_bucket &= second[distance:] == second[:-distance]
                (ends,) = np.nonzero(is_bucket)
                yield order[ends], order[ends + distance]

    def may_be_alike(
        self, firsts: "Places", seconds: "Places", threshold: float
    ) -> "NDArray[np.bool_]":
        """Return which pairs may be so much alike, by all of their hashes."""
        lowest_share = threshold - _SPREAD * (threshold * (1 - threshold) / _HASHES) ** 0.5
        equal = (self._short[firsts] == self._short[seconds]).sum(axis=1)
        is_enough: NDArray[np.bool_] = equal >= lowest_share * _HASHES
        return is_enough

    def _key(self, number: int) -> "NDArray[np.uint64]":
        """Return two hashes of each set as one number."""
        np = self._numpy
        high = self._signatures[number % _HASHES].astype(np.uint64)
        return (high << np.uint64(32)) | self._signatures[(number + 1) % _HASHES]
