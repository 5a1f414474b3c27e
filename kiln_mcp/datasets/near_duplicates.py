"""Texts that are nearly the same, found in time that grows with their number.

Two texts are alike if they share most of their letter triples, weighted by how rare these are:
typing errors, a moved half, a synonym, added courtesy, case and marks leave them alike. They are
duplicates if, besides, they have the same numbers, and neither fills a gap of a common form with
words that the other lacks: `Where is order 17?` and `Where is order 18?` have different answers.

With an embedding model of the user, texts that mean the same in other words are alike as well.

Few texts are all compared with each other. Of many, those are that are probably alike.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kiln_mcp.datasets.meanings import Meanings
from kiln_mcp.datasets.minhash import MinHashes
from kiln_mcp.datasets.partition import Partition
from kiln_mcp.datasets.text_forms import TextForms, text_forms
from kiln_mcp.datasets.text_vectors import TextVectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]
    Pairs = tuple[Places, Places]

NEAR: Final = 0.67
"""Similarity from which two texts are alike (weighted Dice); see benchmarks/synthesis."""
_MOST_PRODUCTS: Final = 1_000_000_000
"""Features times texts up to which all texts are compared with each other: some seconds."""


class NearDuplicates:
    """The near-duplicates among some texts.

    Attributes:
        vectors: The texts as weighted sets.
        forms: The forms that they share.

    Args:
        texts: The texts.
        threshold: The least similarity of two that are alike.
        most_products: Features times texts up to which groups come of comparing all.
        embeddings: The folder of the user's embedding model; None to compare letters alone.
    """

    def __init__(
        self,
        texts: Sequence[str],
        threshold: float = NEAR,
        most_products: int = _MOST_PRODUCTS,
        embeddings: Path | None = None,
    ) -> None:
        self._texts = texts
        self._embeddings = embeddings
        self.vectors = TextVectors(texts)
        self._threshold = threshold
        self._most_products = most_products
        self._meanings = Meanings(texts, embeddings) if embeddings is not None else None

    def among(self, texts: Sequence[str]) -> "NearDuplicates":
        """Return those among some texts, found in the same way; for its own texts itself."""
        if list(texts) == list(self._texts):
            return self
        return NearDuplicates(texts, self._threshold, self._most_products, self._embeddings)

    @cached_property
    def forms(self) -> TextForms:
        """Return the forms that the texts share."""
        return text_forms(self.vectors.word_lists)

    @cached_property
    def _hashes(self) -> MinHashes:
        return MinHashes(self.vectors)

    @cached_property
    def alike_groups(self) -> "Places":
        """Return a group for each text, named by the lowest place in it: of alike ones."""
        return self._groups(are_duplicates=False)

    @cached_property
    def duplicate_groups(self) -> "Places":
        """Return the same for duplicates."""
        return self._groups(are_duplicates=True)

    def clusters(self, largest: int) -> "Places":
        """Return a group for each text that is to be on one side of a split.

        These are alike texts. Where more than `largest` are, they follow a common form that no
        split can keep on one side, and only its duplicates stay together.
        """
        import numpy as np  # imported here: heavy, and most processes measure no data

        sizes = np.bincount(self.alike_groups, minlength=len(self.vectors))
        if sizes.max(initial=0) <= largest:
            return self.alike_groups
        is_form = sizes[self.alike_groups] > largest
        return np.where(is_form, self.duplicate_groups, self.alike_groups)

    @property
    def duplicate_count(self) -> int:
        """Return how many texts say what one before them says, also by way of others."""
        import numpy as np  # imported here: heavy, and most processes measure no data

        return len(self.vectors) - int(np.unique(self.duplicate_groups).size)

    def are_duplicates(self, firsts: "Places", seconds: "Places") -> "NDArray[np.bool_]":
        """Return of which pairs the texts are duplicates, if they are alike."""
        keys = self.vectors.number_keys
        result: NDArray[np.bool_] = keys[firsts] == keys[seconds]
        result[result] = self.forms.may_be_same(firsts[result], seconds[result])
        return result

    def duplicate_pairs(self, begin: int = 0) -> Iterator["Pairs"]:
        """Yield all pairs of duplicates whose later text has at least this place."""
        import numpy as np  # imported here: heavy, and most processes measure no data

        by_letters = self._alike_rows(np.arange(begin, len(self.vectors)))
        for firsts, seconds in chain(by_letters, self._alike_meanings(begin)):
            is_same = self.are_duplicates(firsts, seconds)
            yield firsts[is_same], seconds[is_same]

    def _alike_rows(self, places: "Places") -> Iterator["Pairs"]:
        """Yield pairs of some texts and alike ones before them, by comparing all."""
        import numpy as np  # imported here: heavy, and most processes measure no data

        for some, similarity in self.vectors.rows(places):
            rows, firsts = np.nonzero(similarity >= self._threshold - 1e-6)
            seconds = some[rows]
            is_before = firsts < seconds
            yield from self._alike(firsts[is_before], seconds[is_before])

    def _alike(self, firsts: "Places", seconds: "Places") -> Iterator["Pairs"]:
        is_alike = self.vectors.similarity(firsts, seconds) >= self._threshold - 1e-6
        yield firsts[is_alike], seconds[is_alike]

    def _alike_meanings(self, begin: int = 0) -> Iterator["Pairs"]:
        return iter(()) if self._meanings is None else self._meanings.pairs(begin)

    def _groups(self, *, are_duplicates: bool) -> "Places":
        import numpy as np  # imported here: heavy, and most processes measure no data

        count = len(self.vectors)
        partition = Partition(count)
        if self.vectors.features.nnz * count <= self._most_products:
            pairs = self._alike_rows(np.arange(count))
        else:
            pairs = self._probable_pairs(partition, are_duplicates=are_duplicates)
        for firsts, seconds in chain(pairs, self._alike_meanings()):
            if are_duplicates:
                is_same = self.are_duplicates(firsts, seconds)
                firsts, seconds = firsts[is_same], seconds[is_same]
            partition.join(firsts, seconds)
        return partition.roots

    def _probable_pairs(self, partition: Partition, *, are_duplicates: bool) -> Iterator["Pairs"]:
        """Yield alike pairs among neighbours that are not in one group yet."""
        hashes, keys = self._hashes, self.vectors.number_keys
        for firsts, seconds in hashes.neighbours():
            is_open = partition.are_apart(firsts, seconds)
            if are_duplicates:
                is_open &= keys[firsts] == keys[seconds]
            firsts, seconds = firsts[is_open], seconds[is_open]
            may_be = hashes.may_be_alike(firsts, seconds, self._threshold)
            yield from self._alike(firsts[may_be], seconds[may_be])
