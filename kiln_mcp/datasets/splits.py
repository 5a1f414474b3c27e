"""Deal items into the parts of a split, whole groups at a time."""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence


def split_sizes(count: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Return how many of `count` items each part gets, by largest remainder.

    Raises:
        ValueError: A share is negative, or none is above 0.

    Source:
        Hamilton's method of apportionment; ties go to the part named first.
    """
    total = sum(shares.values())
    if total <= 0 or min(shares.values()) < 0:
        raise ValueError("shares must not be negative, and one must be above 0")
    sizes = {name: count * share // total for name, share in shares.items()}
    remainders = {name: count * share % total for name, share in shares.items()}
    remainder = count - sum(sizes.values())
    for name in sorted(shares, key=lambda part: -remainders[part])[:remainder]:
        sizes[name] += 1
    return sizes


def deal(
    groups: Sequence[str],
    shares: Mapping[str, int],
    seed: int,
    strata: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Return the part of each item, such that a group never straddles two parts.

    The groups are shuffled by the seed and the largest dealt first. Each goes to a part that has
    room for it and lacks most, in proportion, of the strata of its items. If none has room, it
    goes to the part that lacks the most items. So a part differs from its size by less than the
    largest group; with groups of one the sizes are those of `split_sizes`.

    Args:
        groups: The group of each item, in a stable order of the items.
        shares: Part name to share, in any unit.
        seed: Makes the deal repeatable.
        strata: What each item is to be balanced by, such as its class; None for nothing.
    """
    strata_of: dict[str, Counter[str]] = defaultdict(Counter)
    for group, stratum in zip(groups, strata or [""] * len(groups), strict=True):
        strata_of[group][stratum] += 1
    names = sorted(strata_of)
    random.Random(seed).shuffle(names)
    names.sort(key=lambda name: -strata_of[name].total())
    places = _Places(split_sizes(len(groups), shares), Counter(strata or [""] * len(groups)))
    part_of = {name: places.put(strata_of[name]) for name in names}
    return tuple(part_of[group] for group in groups)


class _Places:
    """What the parts of a split lack.

    Args:
        sizes: The size of each part.
        strata: How many items each stratum has.
    """

    def __init__(self, sizes: Mapping[str, int], strata: Mapping[str, int]) -> None:
        total = max(1, sum(sizes.values()))
        self._sizes = dict(sizes)
        self._goals = {
            part: {stratum: size * count / total for stratum, count in strata.items()}
            for part, size in sizes.items()
        }
        self._lacks = {part: dict(goal) for part, goal in self._goals.items()}

    def put(self, group: Mapping[str, int]) -> str:
        """Put a group into a part and return the part."""
        size = sum(group.values())
        roomy = [part for part, room in self._sizes.items() if room >= size]
        part = (
            max(roomy, key=lambda part: self._need(part, group))
            if roomy
            else max(self._sizes, key=lambda part: self._sizes[part])
        )
        self._sizes[part] -= size
        for stratum, count in group.items():
            self._lacks[part][stratum] -= count
        return part

    def _need(self, part: str, group: Mapping[str, int]) -> tuple[float, int]:
        """Return which share of what it should have of a group's strata a part lacks."""
        lacks, goals = self._lacks[part], self._goals[part]
        shares = (count * lacks[stratum] / goals[stratum] for stratum, count in group.items())
        return sum(shares), self._sizes[part]
