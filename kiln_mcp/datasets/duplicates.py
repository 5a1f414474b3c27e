"""Texts that say what an earlier one says, so that a dataset keeps one of them."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from kiln_mcp.datasets.near_duplicates import NearDuplicates


def earlier_duplicates(
    texts: Sequence[str], existing: Sequence[str] = (), embeddings: Path | None = None
) -> list[int | None]:
    """Return for each text the place of an earlier one that it duplicates, None if there is none.

    A text that is a duplicate itself makes no later one a duplicate.

    Args:
        texts: New texts, in the order in which they are preferred.
        existing: Texts that are there. The places count these first, then `texts`.
        embeddings: The folder of the user's embedding model; None to compare letters alone.

    Raises:
        Refusal: The embedding model cannot be read.
    """
    alike: dict[int, list[int]] = defaultdict(list)
    every = [*existing, *texts]
    near_duplicates = NearDuplicates(every, embeddings=embeddings)
    for firsts, seconds in near_duplicates.duplicate_pairs(len(existing)):
        for first, second in zip(firsts.tolist(), seconds.tolist(), strict=True):
            alike[second].append(first)
    originals: list[int | None] = []
    for place in range(len(existing), len(every)):
        earlier = [
            other
            for other in alike[place]
            if other < len(existing) or originals[other - len(existing)] is None
        ]
        originals.append(min(earlier, default=None))
    return originals
