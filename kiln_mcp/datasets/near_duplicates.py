"""Groups of texts that are nearly the same, in time that grows with their number.

Where few texts share a rare shingle, all that do are compared, and no pair is missed. Texts made
from templates share their rarest shingles with thousands of others. Then one text of each class
that is as much alike to all others is compared (`set_classes`). If the classes are many as well,
only those are compared that are probably alike (`neighbours`). Either way two texts count as alike
only if their exact similarity says so.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.datasets.neighbours import groups_of_neighbours, rarest_shingles
from kiln_mcp.datasets.set_classes import classes_of
from kiln_mcp.datasets.shingles import NEAR, ShingleSets, prefix_size, shingle_sets

_COMPARISONS: Final = 40
"""Comparisons for each set, up to which all that share a rare shingle are compared."""
_FREE_COMPARISONS: Final = 50_000
"""Comparisons that are made in any case."""
_NOTHING: Final = -1
"""Stands for the shingle of a text that has none."""


def near_duplicates(sets: ShingleSets, threshold: float = NEAR) -> Iterator[tuple[int, int]]:
    """Yield all pairs of different sets that are at least `threshold` alike, the earlier one first.

    Two sets so alike share one of the rarest shingles of each: as many as may be missing and one
    more. So only sets that do are compared. Where many share them, this takes time with the square
    of their number.

    Source:
        Chaudhuri, Ganti and Kaushik (2006), A Primitive Operator for Similarity Joins in Data
        Cleaning: the prefix filter.
    """
    with_shingle: dict[int, array[int]] = defaultdict(lambda: array("q"))
    members: list[frozenset[int]] = []
    for second in range(len(sets)):
        own = sets.members(second)
        candidates: set[int] = set()
        for shingle in own[: prefix_size(len(own), threshold)] or (_NOTHING,):
            candidates.update(with_shingle[shingle])
            with_shingle[shingle].append(second)
        own_set = frozenset(own)
        members.append(own_set)
        for first in sorted(candidates):
            if _similarity(own_set, members[first]) >= threshold:
                yield first, second


def _ignore(_: int) -> None:
    """Take a count of pairs that nobody asked for."""


def groups_of_sets(
    sets: ShingleSets, threshold: float = NEAR, on_comparisons: Callable[[int], None] = _ignore
) -> list[int]:
    """Return a group for each set: sets that are alike are in one, also by way of others.

    The group's name is the place of one of its sets. Always the same for the same sets.

    Args:
        sets: The sets.
        threshold: The least similarity of two that are alike.
        on_comparisons: Called with the number of pairs before they are compared.
    """
    groups = _exact_groups(sets, threshold, on_comparisons)
    if groups is not None:
        return groups
    import numpy as np  # imported here: heavy, and most processes measure no data

    classes = classes_of(sets)
    firsts = sets.subset(classes.firsts)
    groups_of_classes = _exact_groups(firsts, threshold, on_comparisons)
    if groups_of_classes is None:
        groups_of_classes = groups_of_neighbours(firsts, threshold, on_comparisons).tolist()
    groups_of_all: list[int] = classes.groups(np.array(groups_of_classes), threshold).tolist()
    return groups_of_all


def _exact_groups(
    sets: ShingleSets, threshold: float, on_comparisons: Callable[[int], None]
) -> list[int] | None:
    """Return the groups by comparing all that share a rare shingle; None if these are too many."""
    comparisons = _comparisons(sets, threshold)
    if comparisons > max(_FREE_COMPARISONS, _COMPARISONS * len(sets)):
        return None
    on_comparisons(comparisons)
    union = _Union(len(sets))
    union.join(near_duplicates(sets, threshold))
    return union.roots()


@dataclass(frozen=True, slots=True)
class TextGroups:
    """Some texts in groups of those that are nearly the same.

    Attributes:
        sets: Their shingles.
        roots: The group of each set.
    """

    sets: ShingleSets
    roots: Sequence[int]

    @property
    def duplicate_count(self) -> int:
        """How many texts have one before them in the same group."""
        return len(self.sets.set_of) - len(set(self.roots))

    def names(self, keys: Sequence[str | None]) -> tuple[str, ...]:
        """Return a group name for each text: near-duplicates and equal keys share one.

        Args:
            keys: The topic or template of each, None if it has none.
        """
        set_of: list[int] = self.sets.set_of.tolist()
        union = _Union(len(set_of))
        first_with: dict[str | int, int] = {}
        for place, (key, own) in enumerate(zip(keys, set_of, strict=True)):
            union.join([(first_with.setdefault(self.roots[own], place), place)])
            if key is not None:
                union.join([(first_with.setdefault(key, place), place)])
        return tuple(f"group {root}" for root in union.roots())


def text_groups(texts: Sequence[str]) -> TextGroups:
    """Return texts in groups of those that are nearly the same."""
    sets = shingle_sets(texts)
    return TextGroups(sets, groups_of_sets(sets))


def _similarity(first: frozenset[int], second: frozenset[int]) -> float:
    shared = len(first & second)
    either = len(first) + len(second) - shared
    return shared / either if either else 1.0


def _comparisons(sets: ShingleSets, threshold: float) -> int:
    """Return how many comparisons the prefix filter leaves at most."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    sharing = np.bincount(rarest_shingles(sets, threshold)[0], minlength=1)
    return int((sharing * (sharing - 1)).sum()) // 2


class _Union:
    """Joins places to groups.

    Args:
        count: How many places there are.
    """

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def join(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Put the two places of each pair into one group."""
        for first, second in pairs:
            self._parents[self._root(second)] = self._root(first)

    def roots(self) -> list[int]:
        """Return for each place the one that its group is named by."""
        return [self._root(place) for place in range(len(self._parents))]

    def _root(self, place: int) -> int:
        parents = self._parents
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place
