"""Items that stay on one side of a split: near-duplicates, and what shares a topic or an origin."""

from collections.abc import Sequence
from typing import Final

from kiln_mcp.datasets.near_duplicates import NearDuplicates
from kiln_mcp.datasets.partition import Partition

_LARGEST_SHARE: Final = 0.05
"""The share of the items that alike texts may be and stay together as one cluster."""
_LARGEST_COUNT: Final = 10
"""As many may be in any case."""


def cluster_names(
    near_duplicates: NearDuplicates, *columns: Sequence[str | None]
) -> tuple[str, ...]:
    """Return a cluster for each item: alike texts and equal values of a column share one.

    Args:
        near_duplicates: The texts of the items.
        columns: What else keeps items together, such as their topics; None if an item has none.
    """
    partition = near_duplicate_partition(near_duplicates)
    for column in columns:
        join_equal(partition, column)
    return tuple(f"group {root}" for root in partition.roots.tolist())


def near_duplicate_partition(near_duplicates: NearDuplicates) -> Partition:
    """Return the items as a partition in which alike texts are together."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    count = len(near_duplicates.vectors)
    partition = Partition(count)
    largest = max(_LARGEST_COUNT, int(_LARGEST_SHARE * count))
    partition.join(near_duplicates.clusters(largest), np.arange(count))
    return partition


def join_equal(partition: Partition, values: Sequence[str | None]) -> None:
    """Put places with equal values into one group; None is equal to nothing."""
    import numpy as np  # imported here: heavy, and most processes measure no data

    first_with: dict[str, int] = {}
    pairs = [
        (first_with.setdefault(value, place), place)
        for place, value in enumerate(values)
        if value is not None
    ]
    firsts, seconds = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    partition.join(firsts, seconds)
