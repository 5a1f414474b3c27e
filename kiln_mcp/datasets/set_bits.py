"""The most that two sets can be alike, told by some bits of each.

Each shingle sets one bit of its set. Shingles that two sets share set the same bits, so the bits
that both have bound how many these are. No pair that is alike is passed over.
"""

from typing import TYPE_CHECKING, Final

from kiln_mcp.datasets.shingles import ShingleSets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

_WORD: Final = 64
_LEAST_WORDS: Final = 4
_MOST_WORDS: Final = 32
_BITS_FOR_EACH: Final = 16
"""Bits for each shingle, so that few share one."""
_MIXER: Final = 0x9E3779B97F4A7C15


class SetBits:
    """The bits of sets.

    Args:
        sets: The sets.
    """

    def __init__(self, sets: ShingleSets) -> None:
        import numpy as np  # imported here: heavy, and most processes measure no data

        self._numpy = np
        mean = int(sets.sizes.mean()) if len(sets) else 0
        words = min(max(_LEAST_WORDS, mean * _BITS_FOR_EACH // _WORD), _MOST_WORDS)
        hashes = (sets.numbers.astype(np.uint64) * np.uint64(_MIXER)) >> np.uint64(32)
        places = (hashes % np.uint64(words * _WORD)).astype(np.int64)
        bits = np.uint64(1) << (places % _WORD).astype(np.uint64)
        self._words = np.zeros((len(sets), words), dtype=np.uint64)
        np.bitwise_or.at(self._words, (sets.owners(), places // _WORD), bits)
        self._sizes = sets.sizes
        self._spare = sets.sizes - self._count(self._words)
        """Of each set, the shingles whose bit another one of it has set before."""

    def may_be_alike(
        self, firsts: "Places", seconds: "Places", threshold: float
    ) -> "NDArray[np.bool_]":
        """Return which pairs may be so much alike; never false for one that is."""
        shared = self._count(self._words[firsts] & self._words[seconds])
        shared += self._numpy.minimum(self._spare[firsts], self._spare[seconds])
        sizes = self._sizes[firsts] + self._sizes[seconds]
        may_be: NDArray[np.bool_] = shared >= threshold * (sizes - shared) - 1e-9
        return may_be

    def _count(self, words: "NDArray[np.uint64]") -> "Places":
        """Return how many bits each set has."""
        return self._numpy.bitwise_count(words).sum(axis=1, dtype=self._numpy.int64)
