"""Find texts that say what an earlier one says, so that a dataset keeps one of them."""

from collections.abc import Sequence

from kiln_mcp.datasets.near_duplicates import near_duplicates
from kiln_mcp.datasets.shingles import shingle_sets


def earlier_duplicates(texts: Sequence[str], existing: Sequence[str] = ()) -> list[int | None]:
    """Return for each text the place of an earlier one that it duplicates, None if there is none.

    A text that is a duplicate itself makes no later one a duplicate.

    Args:
        texts: New texts, in the order in which they are preferred.
        existing: Texts that are there. The places count these first, then `texts`.
    """
    every = [*existing, *texts]
    sets = shingle_sets(every)
    set_of: list[int] = sets.set_of.tolist()
    alike: dict[int, list[int]] = {}
    for first, second in near_duplicates(sets):
        alike.setdefault(second, []).append(first)
    first_place: dict[int, int] = {}
    for place in range(len(existing)):
        first_place.setdefault(set_of[place], place)
    result: list[int | None] = []
    for place in range(len(existing), len(every)):
        own = set_of[place]
        earlier = [
            first_place[other] for other in (own, *alike.get(own, ())) if other in first_place
        ]
        result.append(min(earlier, default=None))
        if not earlier:
            first_place[own] = place
    return result
