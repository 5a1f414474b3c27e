"""Drawing items to be labelled, stratified by what a judge says of them."""

import random
from collections.abc import Mapping, Sequence

from kiln_mcp.labels.ledger import DrawnStratum


def draw_strata(
    strata: Mapping[str, Sequence[str]], labelled: frozenset[str], count: int, seed: int
) -> dict[str, DrawnStratum]:
    """Draw items without a label, half evenly over the strata and half by their size.

    Rare verdicts are thus drawn more often than their share; as every item of a stratum has the
    same chance, weighting by stratum size makes up for it.

    Args:
        strata: The pool's items by stratum, labelled ones included.
        labelled: Items that have a label.
        count: How many to draw; fewer where fewer are left.
        seed: Repeats the draw over the same pool.

    Raises:
        ValueError: `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"At least 1 item is drawn, not {count}.")
    left = {
        name: sorted(item for item in items if item not in labelled)
        for name, items in sorted(strata.items())
    }
    shares = _allocate({name: len(items) for name, items in left.items()}, count)
    draw = random.Random(seed)
    return {
        name: DrawnStratum(
            size=len(strata[name]),
            open=len(items),
            drawn=tuple(draw.sample(items, shares[name])),
        )
        for name, items in left.items()
    }


def _allocate(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Return how many to draw from each stratum; no more than it has, `count` in all if it can."""
    total = sum(sizes.values())
    filled = [name for name in sizes if sizes[name]]
    wanted = min(count, total)
    ideal = {
        name: wanted / 2 / len(filled) + wanted / 2 * sizes[name] / total if sizes[name] else 0.0
        for name in sizes
    }
    shares = {name: min(sizes[name], int(ideal[name])) for name in sizes}
    while sum(shares.values()) < wanted:
        open_names = [name for name in filled if shares[name] < sizes[name]]
        neediest = max(open_names, key=lambda name: (ideal[name] - shares[name], name))
        shares[neediest] += 1
    return shares
