"""Leaks of a split: what items of different parts have in common."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kiln_mcp.datasets.near_duplicates import NearDuplicates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

_MOST_COMPARED: Final = 500
"""Items whose nearest neighbours in other parts are looked up; of more, as many are drawn."""
_EXAMPLES: Final = 5


@dataclass(frozen=True, slots=True)
class PairCount:
    """Pairs of items with something in common.

    Attributes:
        pairs: All of them.
        across: Those whose items are in different parts.
        example: The places of two items of one that is across; None if there is none.
    """

    pairs: int
    across: int
    example: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class SharedValues:
    """Values, such as topics, that items of several parts have.

    Attributes:
        total: Different values.
        shared: Those that are in several parts, sorted.
    """

    total: int
    shared: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An item and the nearest one of another part.

    Attributes:
        place: The item.
        other: The nearest one.
        similarity: How much alike they are, 0 to 1.
    """

    place: int
    other: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Leaks:
    """What the parts of a split have in common.

    Attributes:
        duplicates: Pairs that say the same, also by way of their neighbours.
        alike: Pairs that are alike, such as with other numbers, also by way of their neighbours.
        same_form: Pairs with the same words around gaps that are filled differently.
        shared: Values in several parts, by what they are, such as "topic".
        nearest: The nearest neighbours across parts, the nearest first.
        mean_similarity: The mean similarity of an item to the nearest of another part.
        compared_items: The items that the last two rest on.
    """

    duplicates: PairCount
    alike: PairCount
    same_form: PairCount
    shared: Mapping[str, SharedValues]
    nearest: tuple[Neighbour, ...]
    mean_similarity: float
    compared_items: int

    @property
    def is_clean(self) -> bool:
        """Return whether nothing is in several parts."""
        pairs = (self.duplicates, self.alike, self.same_form)
        return not any(count.across for count in pairs) and not any(
            values.shared for values in self.shared.values()
        )


def find_leaks(
    near_duplicates: NearDuplicates,
    parts: Sequence[str],
    columns: Mapping[str, Sequence[str | None]],
) -> Leaks:
    """Compare the parts of a split.

    Args:
        near_duplicates: The texts of the items.
        parts: The part of each item.
        columns: What must not be in several parts, such as the topics; None if an item has none.
    """
    nearest = _nearest(near_duplicates, parts)
    return Leaks(
        duplicates=_count_pairs(near_duplicates.duplicate_groups.tolist(), parts),
        alike=_count_pairs(near_duplicates.alike_groups.tolist(), parts),
        same_form=_count_pairs(near_duplicates.forms.groups.tolist(), parts),
        shared={name: _shared_values(column, parts) for name, column in columns.items()},
        nearest=tuple(sorted(nearest, key=lambda neighbour: -neighbour.similarity)[:_EXAMPLES]),
        mean_similarity=sum(neighbour.similarity for neighbour in nearest) / max(1, len(nearest)),
        compared_items=len(nearest),
    )


def _count_pairs(groups: Sequence[int], parts: Sequence[str]) -> PairCount:
    """Count the pairs of each group, and those across parts."""
    members: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, (group, part) in enumerate(zip(groups, parts, strict=True)):
        members[group][part].append(place)
    total = across = 0
    example: tuple[int, int] | None = None
    for by_part in members.values():
        sizes = [len(places) for places in by_part.values()]
        pairs = sum(sizes) * (sum(sizes) - 1) // 2
        total += pairs
        across += pairs - sum(size * (size - 1) // 2 for size in sizes)
        if len(sizes) > 1 and example is None:
            first, second = list(by_part.values())[:2]
            example = first[0], second[0]
    return PairCount(total, across, example)


def _shared_values(column: Sequence[str | None], parts: Sequence[str]) -> SharedValues:
    parts_with: dict[str, set[str]] = defaultdict(set)
    for value, part in zip(column, parts, strict=True):
        if value:
            parts_with[value].add(part)
    shared = sorted(value for value, own in parts_with.items() if len(own) > 1)
    return SharedValues(len(parts_with), tuple(shared))


def _nearest(near_duplicates: NearDuplicates, parts: Sequence[str]) -> list[Neighbour]:
    """Return the nearest item of another part, for items of all parts but the largest one."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    names, codes = np.unique(np.array(parts, dtype=np.str_), return_inverse=True)
    if names.size < 2:
        return []
    largest = int(np.bincount(codes).argmax())
    places: list[int] = np.nonzero(codes != largest)[0].tolist()
    if len(places) > _MOST_COMPARED:
        places = sorted(random.Random(0).sample(places, _MOST_COMPARED))
    vectors, neighbours = near_duplicates.vectors, list[Neighbour]()
    for some, similarity in vectors.rows(np.array(places, dtype=np.int64)):
        similarity[codes[some][:, None] == codes[None, :]] = -1.0
        nearest_places = similarity.argmax(axis=1)
        exact = vectors.similarity(some, nearest_places)
        for place, other, value in zip(some, nearest_places, exact, strict=True):
            neighbours.append(Neighbour(int(place), int(other), round(float(value), 3)))
    return neighbours
