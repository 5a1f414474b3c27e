"""How well made inputs can be told from those of real users."""

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from kiln_mcp.datasets.duplicates import earlier_duplicates
from kiln_mcp.datasets.stock_phrases import StockPhrase, stock_phrases
from kiln_mcp.datasets.text_vectors import sparse_rows
from kiln_mcp.datasets.words import words
from kiln_mcp.statistics import CannotTell, TwoSampleTest, two_sample_test

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SAMPLE_SIZE: Final = 200
"""Items of each kind that are drawn."""
_LONGEST: Final = 2000
"""Characters of a text that are compared."""


@dataclass(frozen=True, slots=True)
class Realism:
    """How much made inputs are like real ones.

    Attributes:
        real_items: Real inputs that say different things.
        made_items: Made ones that do.
        test: How well a classifier tells them apart, or why that cannot be told.
        phrases: What made inputs say more often than real ones, the commonest first.
        real_words: The median number of words of a real input; 0 if there is none.
        made_words: The same of a made one.
    """

    real_items: int
    made_items: int
    test: TwoSampleTest | CannotTell
    phrases: tuple[StockPhrase, ...]
    real_words: float
    made_words: float


def realism(real_texts: Sequence[str], made_texts: Sequence[str], seed: int = 0) -> Realism:
    """Compare made inputs with real ones; of several that say the same, one counts.

    Args:
        real_texts: Inputs that users sent or people wrote.
        made_texts: Inputs that a model made.
        seed: Of the draws and of the test.
    """
    real_inputs, made_inputs = _different_texts(real_texts), _different_texts(made_texts)
    count = min(len(real_inputs), len(made_inputs), _SAMPLE_SIZE)
    draw = random.Random(seed)
    drawn = [*draw.sample(real_inputs, count), *draw.sample(made_inputs, count)]
    return Realism(
        real_items=len(real_inputs),
        made_items=len(made_inputs),
        test=two_sample_test(_kernel(drawn), count, seed),
        phrases=stock_phrases(made_inputs, [""] * len(made_inputs), real_inputs),
        real_words=_median_words(real_inputs),
        made_words=_median_words(made_inputs),
    )


def _different_texts(texts: Sequence[str]) -> list[str]:
    originals = earlier_duplicates(texts)
    return [text for text, other in zip(texts, originals, strict=True) if other is None]


def _median_words(texts: Sequence[str]) -> float:
    return float(median(sum(1 for _ in words(text)) for text in texts)) if texts else 0.0


def _kernel(texts: Sequence[str]) -> "NDArray[np.float64]":
    """Return the cosines of texts by their letter triples as written: case and marks count."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    numbers: dict[str, int] = {}
    members, starts = array("q"), array("q", [0])
    for text in texts:
        own = f" {text[:_LONGEST]} "
        triples = {own[begin : begin + 3] for begin in range(len(own) - 2)}
        members.extend(numbers.setdefault(triple, len(numbers)) for triple in sorted(triples))
        starts.append(len(members))
    rows = sparse_rows(
        np.array(members, dtype=np.int64), np.array(starts, dtype=np.int64), len(numbers)
    )
    shared = (rows @ rows.T).toarray().astype(np.float64)
    lengths = np.sqrt(np.maximum(shared.diagonal(), 1.0))
    cosines: NDArray[np.float64] = shared / np.outer(lengths, lengths)
    return cosines
