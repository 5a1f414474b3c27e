"""Texts that mean nearly the same in other words, by an embedding model of the user.

The model is a folder in the format of model2vec: a table of word vectors, read from disk and run in
this process. Nothing is downloaded. It needs the extra `embeddings`.

A model holds nearly all texts of a language that it does not know for alike. So each text is
compared with sentences in twelve languages that have nothing to do with it: a pair has to stand
clear of how near these come.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from storage.errors import Refusal

if TYPE_CHECKING:
    import numpy as np
    from model2vec import StaticModel
    from numpy.typing import NDArray

    Places = NDArray[np.int64]
    Pairs = tuple[Places, Places]

NEAR_MEANING: Final = 0.9
"""The cosine from which two texts mean the same. Models differ: high on purpose."""
_CLEAR: Final = 0.8
"""The share of the way from unrelated sentences to the same meaning that a pair has to be at."""
_SAME: Final = 0.999
"""A text that is so near to an unrelated sentence is like no other."""
_SENTENCES_FILE: Final = "unrelated_sentences.txt"
_PRODUCTS_AT_ONCE: Final = 20_000_000


class Meanings:
    """The meanings of some texts, as vectors of length 1.

    Args:
        texts: The texts; their whole length counts.
        folder: The folder of the embedding model.

    Raises:
        Refusal: The model cannot be read.
    """

    def __init__(self, texts: Sequence[str], folder: Path) -> None:
        import numpy as np  # imported here: heavy, and most processes measure no data

        model = _model(folder)
        self._rows = _rows_of(model, texts)
        sentences = (files(__package__ or "") / _SENTENCES_FILE).read_text(encoding="utf-8")
        nearest = (self._rows @ _rows_of(model, sentences.splitlines()).T).max(axis=1)
        bounds = (nearest + _CLEAR * (1 - nearest)).clip(NEAR_MEANING, None)
        self._bounds = np.where(nearest > _SAME, np.inf, bounds)

    def cosine(self, first: int, second: int) -> float:
        """Return how near two texts are, by their places: 1 for the same."""
        return float(self._rows[first] @ self._rows[second])

    def pairs(self, begin: int = 0) -> Iterator["Pairs"]:
        """Yield all pairs that mean the same and whose later text has at least this place."""
        import numpy as np  # imported here: heavy, and most processes measure no data

        count = len(self._rows)
        step = max(1, _PRODUCTS_AT_ONCE // max(1, count))
        for start in range(begin, count, step):
            some = self._rows[start : start + step]
            cosines = some @ self._rows[: start + len(some)].T
            places, firsts = np.nonzero(cosines >= NEAR_MEANING - 1e-6)
            seconds = places + start
            pair_bounds = np.maximum(self._bounds[firsts], self._bounds[seconds])
            is_pair = (firsts < seconds) & (cosines[places, firsts] >= pair_bounds - 1e-6)
            yield firsts[is_pair], seconds[is_pair]


def _rows_of(model: "StaticModel", texts: Sequence[str]) -> "NDArray[np.float32]":
    """Return a vector of length 1 for each text; one of zeros for a text of unknown words."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    vectors = model.encode(
        list(texts), max_length=None, use_multiprocessing=False, show_progress_bar=False
    )
    rows: NDArray[np.float32] = np.asarray(vectors, dtype=np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


@lru_cache(maxsize=1)
def _model(folder: Path) -> "StaticModel":
    """Return the model of a folder.

    Raises:
        Refusal: The extra is missing, or the folder holds no model.
    """
    try:
        from model2vec import StaticModel  # imported here: an extra
    except ImportError as error:
        raise Refusal(
            "Comparing meanings needs the extra 'embeddings'. Install it, or unset "
            "KILN_MCP_EMBEDDINGS."
        ) from error
    if not folder.is_dir():
        raise Refusal(
            "KILN_MCP_EMBEDDINGS names no folder: {folder}. Name the folder of a model2vec model, "
            "or unset it.",
            folder=str(folder),
        )
    try:
        return StaticModel.from_pretrained(folder, force_download=False)
    except Exception as error:
        raise Refusal(
            "The embedding model in {folder} cannot be read: {reason}. Name the folder of a "
            "model2vec model in KILN_MCP_EMBEDDINGS, or unset it.",
            folder=str(folder),
            reason=str(error),
        ) from error


__all__ = ["Meanings"]
