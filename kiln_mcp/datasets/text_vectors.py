"""Texts as sets of letter triples, each weighted by how rare it is among the texts.

Triples meet typing errors, endings and other spellings, and need no order of words. In scripts
without spaces the characters and their pairs take their place.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from kiln_mcp.datasets.word_lists import WordLists, word_lists
from kiln_mcp.datasets.words import is_letter, number_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    Places = NDArray[np.int64]
    Shares = NDArray[np.float64]
    Matrix = csr_array[np.float32, tuple[int, int]]

_COMMON: Final = 0.05
"""The share of the texts up to which a feature has its whole weight."""
_FEW_TEXTS: Final = 100
"""Texts that are imagined beside the real values, so that of few texts none counts as common."""
_LOWEST_WEIGHT: Final = 0.1
_LONG: Final = 40
"""Words from which two texts must share pairs of words, too: long texts share most triples."""
_PAIR_SLACK: Final = 0.2
"""By how much two long texts may be less alike in their pairs of words."""
_PAIRS_AT_ONCE: Final = 50_000
_ROWS_AT_ONCE: Final = 2_000_000
"""Similarities that are computed at once."""


class TextVectors:
    """Texts as weighted sets.

    Attributes:
        word_lists: Their words.
        features: The features of each text, a row each.
        weights: The weight of each feature, 0.1 to 1.
        number_keys: The same for texts with the same numbers in them.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np  # imported here: heavy, and most processes measure no data

        self._numpy = np
        self.word_lists = word_lists(texts)
        self.features = _features(self.word_lists)
        self.weights = _weights(self.features)
        self._weighted = _scale(self.features, self.weights)
        self._totals = self._weighted.sum(axis=1)
        self.number_keys = _number_keys(self.word_lists)
        self._is_long = self.word_lists.sizes >= _LONG
        self._pairs = _word_pairs(self.word_lists, self._is_long)
        self._pair_totals = self._pairs.sum(axis=1)

    def __len__(self) -> int:
        """Return how many texts there are."""
        return len(self.word_lists)

    def similarity(self, firsts: "Places", seconds: "Places") -> "Shares":
        """Return how much alike the texts of each pair are, 0 to 1 (weighted Dice)."""
        np = self._numpy
        result = np.zeros(firsts.size)
        for begin in range(0, firsts.size, _PAIRS_AT_ONCE):
            part = slice(begin, begin + _PAIRS_AT_ONCE)
            first, second = firsts[part], seconds[part]
            shared = self._weighted[first].multiply(self.features[second]).sum(axis=1)
            totals = self._totals[first] + self._totals[second]
            result[part] = self._apply_bound(first, second, 2 * shared / np.maximum(totals, 1e-9))
        return result

    def rows(self, places: "Places") -> Iterator[tuple["Places", "Shares"]]:
        """Yield some texts with their similarity to all texts, a few at a time.

        The bound for long texts is not applied: `similarity` of chosen pairs does.
        """
        np = self._numpy
        step = max(1, _ROWS_AT_ONCE // max(1, len(self)))
        for begin in range(0, places.size, step):
            some = places[begin : begin + step]
            shared = (self.features @ self._weighted[some].toarray().T).T
            totals = self._totals[some][:, None] + self._totals[None, :]
            yield some, 2 * shared / np.maximum(totals, 1e-9)

    def _apply_bound(self, firsts: "Places", seconds: "Places", similarity: "Shares") -> "Shares":
        """Lower the similarity of two long texts to what their pairs of words allow."""
        np = self._numpy
        (long_pairs,) = np.nonzero(self._is_long[firsts] & self._is_long[seconds])
        if not long_pairs.size:
            return similarity
        first, second = firsts[long_pairs], seconds[long_pairs]
        shared = self._pairs[first].multiply(self._pairs[second]).sum(axis=1)
        totals = np.maximum(self._pair_totals[first] + self._pair_totals[second], 1)
        similarity[long_pairs] = np.minimum(
            similarity[long_pairs], 2 * shared / totals + _PAIR_SLACK
        )
        return similarity


def unit_rows(vectors: TextVectors, places: "Places") -> "Matrix":
    """Return some texts as vectors of length 1; a text without words is all zeros."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    rows = _scale(vectors.features[places], np.sqrt(vectors.weights))
    lengths = np.sqrt(rows.multiply(rows).sum(axis=1))
    rows.data /= np.repeat(np.maximum(lengths, 1e-9), np.diff(rows.indptr))
    return rows


def sparse_rows(numbers: "Places", starts: "Places", count: int) -> "Matrix":
    """Return sets of numbers as rows of zeros and values.

    Args:
        numbers: The numbers of all sets, one set after the other, each once in its set.
        starts: Where each set begins, and where the last one ends.
        count: How many different numbers there are.
    """
    import numpy as np  # imported here: heavy, and most processes measure no data
    from scipy.sparse import csr_array  # imported here: as above

    values: NDArray[np.float32] = np.ones(numbers.size, dtype=np.float32)
    shape = (starts.size - 1, max(1, count))
    matrix: Matrix = csr_array((values, numbers, starts), shape=shape, dtype=np.float32)
    matrix.sort_indices()
    return matrix


def _features(lists: WordLists) -> "Matrix":
    import numpy as np  # imported here: heavy, and most processes measure no data

    numbers: dict[str, int] = {}
    triples = [None if is_letter(word) else _triples(word, numbers) for word in lists.vocabulary]
    members, starts = array("i"), array("q", [0])
    own_words: list[int] = lists.numbers.tolist()
    bounds: list[int] = lists.starts.tolist()
    for begin, end in pairwise(bounds):
        own: set[int] = set()
        previous = ""
        for word in own_words[begin:end]:
            features = triples[word]
            if features is None:
                letter = lists.vocabulary[word]
                own.add(numbers.setdefault(letter, len(numbers)))
                if previous:
                    own.add(numbers.setdefault(previous + letter, len(numbers)))
                previous = letter
            else:
                own.update(features)
                previous = ""
        members.extend(own)
        starts.append(len(members))
    return sparse_rows(np.array(members), np.array(starts), len(numbers))


def _triples(word: str, numbers: dict[str, int]) -> tuple[int, ...]:
    """Return the features of a word: its letter triples; a number counts as a whole."""
    text = f" {word} "
    triples = (
        [text] if number_of(word) else [text[begin : begin + 3] for begin in range(len(text) - 2)]
    )
    return tuple({numbers.setdefault(triple, len(numbers)) for triple in triples})


def _weights(features: "Matrix") -> "Shares":
    """Return 1 for features of few texts, and less for those that many have."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    counts = np.bincount(features.indices, minlength=features.shape[1])
    shares = counts / (features.shape[0] + _FEW_TEXTS)
    weights = np.log(np.maximum(shares, 1e-9)) / np.log(_COMMON)
    return np.clip(weights, _LOWEST_WEIGHT, 1.0)


def _scale(features: "Matrix", weights: "Shares") -> "Matrix":
    result = features.copy()
    result.data = weights[features.indices].astype("float32")
    return result


def _number_keys(lists: WordLists) -> "Places":
    """Return a number for each text: the same for those with the same numbers in any order."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    digits = [number_of(word) for word in lists.vocabulary]
    codes = np.array([hash_of(text) if text else 0 for text in digits], dtype=np.uint64)
    totals = np.zeros(len(lists) + 1, dtype=np.uint64)
    if lists.numbers.size:
        np.cumsum(codes[lists.numbers], out=(every := np.zeros(lists.numbers.size, np.uint64)))
        totals = np.concatenate([np.zeros(1, np.uint64), every])[lists.starts]
    return (totals[1:] - totals[:-1]).view(np.int64)


def hash_of(text: str) -> int:
    """Return 64 bits that stand for a text, the same in every process."""
    from hashlib import blake2b  # imported here: most processes measure no data

    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _word_pairs(lists: WordLists, is_long: "NDArray[np.bool_]") -> "Matrix":
    """Return the pairs of neighbouring words of long texts; the rows of others are empty."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    members, sizes = array("q"), np.zeros(len(lists), dtype=np.int64)
    numbers: dict[tuple[int, int], int] = {}
    for place in np.nonzero(is_long)[0].tolist():
        own: list[int] = lists.numbers[lists.starts[place] : lists.starts[place + 1]].tolist()
        pairs = set(pairwise(own))
        members.extend(numbers.setdefault(pair, len(numbers)) for pair in pairs)
        sizes[place] = len(pairs)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    return sparse_rows(np.array(members, dtype=np.int64), starts, len(numbers))
