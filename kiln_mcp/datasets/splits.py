"""Deal items into the parts of a split, whole groups at a time."""

import random
from collections import Counter
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


def deal(groups: Sequence[str], shares: Mapping[str, int], seed: int) -> tuple[str, ...]:
    """Return the part of each item, such that a group never straddles two parts.

    The groups are shuffled by the seed, the largest dealt first, each to the part that lacks the
    most items. With groups of one the sizes are those of `split_sizes`; otherwise a part exceeds
    its size by less than the largest group.

    Args:
        groups: The group of each item, in a stable order of the items.
        shares: Part name to share, in any unit.
        seed: Makes the deal repeatable.
    """
    sizes = Counter(groups)
    names = sorted(sizes)
    random.Random(seed).shuffle(names)
    names.sort(key=lambda name: -sizes[name])
    lacking = split_sizes(len(groups), shares)
    part_of: dict[str, str] = {}
    for name in names:
        part = max(lacking, key=lambda candidate: lacking[candidate])
        part_of[name] = part
        lacking[part] -= sizes[name]
    return tuple(part_of[group] for group in groups)
