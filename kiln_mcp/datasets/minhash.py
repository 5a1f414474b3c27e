"""Pairs of sets that are probably much alike, by weighted MinHash and sorted neighbours.

Comparing all sets that share something takes time with the square of their number. Here it grows
with their number, whatever they share.

Source:
    A. Broder, On the resemblance and containment of documents, 1997 (MinHash); M. Bawa,
    T. Condie, P. Ganesan, LSH forest, 2005 (sets sorted by their hashes). The minimum of
    exponential variables with rates w belongs to each element with a probability of w over the sum.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from kiln_mcp.datasets.text_vectors import TextVectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

_SEED: Final = 0
_HASHES: Final = 128
_ROWS: Final = 3
"""Hashes that neighbours must share: two texts whose Dice similarity is 0.67 (Jaccard 0.5) share
them in one of 42 orders with a probability of 0.996."""
_NEIGHBOURS: Final = 8
"""Texts before it, in an order, that a text is compared with."""
_SPREAD: Final = 3.5
"""Standard deviations by which an estimate may lie below the similarity."""


class MinHashes:
    """The signatures of texts.

    Args:
        vectors: The texts.
    """

    def __init__(self, vectors: TextVectors) -> None:
        import numpy as np  # imported here: heavy, and most processes measure no data

        self._numpy = np
        random = np.random.default_rng(_SEED)
        features = vectors.features
        count = len(vectors)
        (rows,) = np.nonzero(np.diff(features.indptr))  # no minimum of nothing
        starts = features.indptr[rows]
        self._signatures = np.zeros((_HASHES, count), dtype=np.uint32)
        for place in range(_HASHES):
            draws = random.exponential(size=features.shape[1]) / vectors.weights
            # Ranks keep the order of the draws, and equal ones mean the same feature.
            ranks = np.empty(draws.size, dtype=np.uint32)
            ranks[np.argsort(draws)] = np.arange(draws.size, dtype=np.uint32)
            if rows.size:
                self._signatures[place, rows] = np.minimum.reduceat(ranks[features.indices], starts)
        codes = (self._signatures * np.uint32(0x9E3779B1)) >> np.uint32(24)
        self._short = np.ascontiguousarray(codes.astype(np.uint8).T)

    def neighbours(self) -> Iterator[tuple["Places", "Places"]]:
        """Yield pairs of texts that are neighbours and share some hashes, one order at a time."""
        np = self._numpy
        second = self._key(0)
        for number in range(_HASHES // _ROWS):
            first, second = second, self._key((number + 1) * _ROWS)
            order = np.lexsort((second, first))
            own = first[order]
            for distance in range(1, _NEIGHBOURS + 1):
                (ends,) = np.nonzero(own[distance:] == own[:-distance])
                yield order[ends], order[ends + distance]

    def may_be_alike(
        self, firsts: "Places", seconds: "Places", threshold: float
    ) -> "NDArray[np.bool_]":
        """Return which pairs may be so much alike (Dice), by all of their hashes."""
        jaccard = threshold / (2 - threshold)
        lowest_share = jaccard - _SPREAD * (jaccard * (1 - jaccard) / _HASHES) ** 0.5
        equal = (self._short[firsts] == self._short[seconds]).sum(axis=1)
        is_enough: NDArray[np.bool_] = equal >= lowest_share * _HASHES
        return is_enough

    def _key(self, number: int) -> "NDArray[np.uint64]":
        """Return the hashes of each text at one place of an order as one number."""
        np = self._numpy
        key = np.zeros(self._signatures.shape[1], dtype=np.uint64)
        for step in range(_ROWS):
            key *= np.uint64(0x9E3779B97F4A7C15)
            key ^= self._signatures[(number + step) % _HASHES].astype(np.uint64) + np.uint64(1)
        return key
