"""How varied short texts are, by the word pairs that they share."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from kiln_mcp.datasets.shingles import ShingleSets, words

_SAMPLE_SIZE: Final = 1000
_LEAST_SAMPLE: Final = 200
_MOST_WORK: Final = 20_000_000
"""Texts drawn, times texts that each is compared with: beyond it fewer are drawn."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """How varied texts are.

    Attributes:
        distinct_pairs: Different word pairs over all word pairs, 0 to 1; 1 for no repetition.
        nearest_similarity: Mean similarity of a text to its nearest other text, 0 to 1; of more
            than 1,000 texts as many are drawn (always the same), of more than 20,000 fewer, 200 at
            least, and compared with all.
    """

    distinct_pairs: float
    nearest_similarity: float


def diversity(texts: Sequence[str], sets: ShingleSets) -> Diversity:
    """Measure the texts; fewer than two count as fully diverse.

    Args:
        texts: The texts.
        sets: Their shingles.
    """
    pairs: Counter[str] = Counter()
    for text in texts:
        pairs.update(f"{a} {b}" for a, b in itertools.pairwise(words(text)))
    nearest = _nearest(sets) if len(texts) > 1 else [0.0]
    return Diversity(
        distinct_pairs=round(len(pairs) / pairs.total(), 4) if pairs else 1.0,
        nearest_similarity=round(fmean(nearest), 4),
    )


def _nearest(sets: ShingleSets) -> list[float]:
    """Return the similarity of some texts to their nearest other one."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    texts_with = np.bincount(sets.set_of, minlength=len(sets))
    owners = np.repeat(np.arange(len(sets)), sets.sizes)
    by_shingle = owners[np.argsort(sets.numbers, kind="stable")]
    counts = np.bincount(sets.numbers, minlength=sets.shingle_count)
    begins = np.cumsum(counts) - counts
    text_count = len(sets.set_of)
    sample_size = min(_SAMPLE_SIZE, max(_LEAST_SAMPLE, _MOST_WORK // text_count), text_count)
    similarities: list[float] = []
    for text in random.Random(0).sample(range(text_count), sample_size):
        place = int(sets.set_of[text])
        own = sets.members(place)
        if texts_with[place] > 1:
            similarities.append(1.0)
            continue
        if not own:
            similarities.append(0.0)
            continue
        meetings = [by_shingle[begins[number] : begins[number] + counts[number]] for number in own]
        shared = np.bincount(np.concatenate(meetings), minlength=len(sets))
        similarity = shared / (sets.sizes + sets.sizes[place] - shared)
        similarity[place] = 0.0
        similarities.append(float(similarity.max()))
    return similarities
