"""The classes of items: short outputs that recur, such as the categories of a classifier."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

_LARGEST_COUNT: Final = 30
"""Classes that a task may have."""
_LEAST_ITEMS: Final = 2.0
"""Items that a class has on average at least."""
_LEAST_SHARE: Final = 0.5
"""The share of the items that must have a short output."""


def classes_of(labels: Sequence[str]) -> list[str]:
    """Return the class of each item, "" for all of them if their labels are no classes.

    Args:
        labels: The class or the short output of each item; "" if it has none.
    """
    counts = Counter(label for label in labels if label)
    is_few = 1 < len(counts) <= min(_LARGEST_COUNT, counts.total() / _LEAST_ITEMS)
    if is_few and counts.total() >= _LEAST_SHARE * len(labels):
        return list(labels)
    return [""] * len(labels)
