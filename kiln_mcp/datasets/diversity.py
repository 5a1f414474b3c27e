"""How varied short texts are, by the words that they share."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from kiln_mcp.datasets.text_vectors import TextVectors, unit_rows

_SAMPLE_SIZE: Final = 1000
_LEAST_SAMPLE: Final = 200
_VENDI_SIZE: Final = 400
"""Eigenvalues take time with the cube of the texts."""
_MOST_PRODUCTS: Final = 1_000_000_000
"""Features times texts that each is compared with: beyond it fewer texts are drawn."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """How varied texts are.

    Attributes:
        distinct_words: Different words over all words, 0 to 1.
        distinct_pairs: Different word pairs over all word pairs, 0 to 1; 1 for no repetition.
        nearest_similarity: Mean similarity of a text to its nearest other text, 0 to 1; of more
            than 1,000 texts as many are drawn, always the same.
        vendi_score: As many texts that share nothing are as varied as the drawn ones.
        vendi_texts: The texts that are drawn for it, always the same, 400 at most.

    Source:
        D. Friedman, A. B. Dieng, The Vendi Score, 2023, equation 1, on cosines of letter triples.
    """

    distinct_words: float
    distinct_pairs: float
    nearest_similarity: float
    vendi_score: float
    vendi_texts: int


def diversity(vectors: TextVectors) -> Diversity:
    """Measure texts; fewer than two count as fully diverse."""
    lists = vectors.word_lists
    bounds: list[int] = lists.starts.tolist()
    numbers: list[int] = lists.numbers.tolist()
    pairs: Counter[tuple[int, int]] = Counter()
    for begin, end in itertools.pairwise(bounds):
        pairs.update(itertools.pairwise(numbers[begin:end]))
    affordable = max(_LEAST_SAMPLE, _MOST_PRODUCTS // max(1, vectors.features.nnz))
    compared_texts = _draw(vectors, min(_SAMPLE_SIZE, affordable))
    vendi_texts = _draw(vectors, _VENDI_SIZE)
    return Diversity(
        distinct_words=round(len(lists.vocabulary) / len(numbers), 4) if numbers else 1.0,
        distinct_pairs=round(len(pairs) / pairs.total(), 4) if pairs else 1.0,
        nearest_similarity=round(_nearest_similarity(vectors, compared_texts), 4),
        vendi_score=round(_vendi_score(vectors, vendi_texts), 2),
        vendi_texts=len(vendi_texts),
    )


def _draw(vectors: TextVectors, size: int) -> list[int]:
    count = len(vectors)
    return sorted(random.Random(0).sample(range(count), min(size, count)))


def _nearest_similarity(vectors: TextVectors, drawn: Sequence[int]) -> float:
    """Return the mean similarity of some texts to their nearest other one."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    if len(vectors) < 2:
        return 0.0
    nearest: list[float] = []
    for places, similarity in vectors.rows(np.array(drawn, dtype=np.int64)):
        similarity[np.arange(places.size), places] = -1.0
        nearest_places = similarity.argmax(axis=1)
        nearest += vectors.similarity(places, nearest_places).tolist()
    return fmean(nearest)


def _vendi_score(vectors: TextVectors, drawn: Sequence[int]) -> float:
    """Return the exponential of the entropy of the eigenvalues of the texts' cosines."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    if not drawn:
        return 0.0
    rows = unit_rows(vectors, np.array(drawn, dtype=np.int64))
    cosines = (rows @ rows.T).toarray().astype(np.float64)
    np.fill_diagonal(cosines, 1.0)  # a text without words is like itself alone
    shares = np.linalg.eigvalsh(cosines / len(drawn))
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))
