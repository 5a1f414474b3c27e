"""Draw items to be labelled, stratified by a judge's verdicts."""

import random
from collections.abc import Mapping, Sequence

from kiln_mcp.labels.ledger import DrawnStratum


def draw_strata(
    strata: Mapping[str, Sequence[str]], labelled_items: frozenset[str], count: int, seed: int
) -> dict[str, DrawnStratum]:
    """Draw items without a label, half evenly over the strata and half by their size.

    So rare verdicts are drawn more often than their share. Every item of a stratum has the same
    chance, so weighting by stratum size corrects for it.

    Args:
        strata: The golden set's items by stratum, labelled ones included.
        labelled_items: Items that have a label.
        count: How many to draw; fewer if fewer have no label.
        seed: Repeats the draw over the same golden set.

    Raises:
        ValueError: `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"At least 1 item is drawn, not {count}.")
    candidates = {
        name: sorted(set(items) - labelled_items) for name, items in sorted(strata.items())
    }
    shares = _allocate({name: len(items) for name, items in candidates.items()}, count)
    draw = random.Random(seed)
    return {
        name: DrawnStratum(
            size=len(strata[name]),
            open=len(items),
            drawn=tuple(draw.sample(items, shares[name])),
        )
        for name, items in candidates.items()
    }


def _allocate(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Return how many to draw from each stratum: at most its size, `count` in all if possible."""
    total = sum(sizes.values())
    names = [name for name in sizes if sizes[name]]
    number = min(count, total)
    ideal = {
        name: number / 2 / len(names) + number / 2 * sizes[name] / total if sizes[name] else 0.0
        for name in sizes
    }
    shares = {name: min(sizes[name], int(ideal[name])) for name in sizes}
    while sum(shares.values()) < number:
        open_names = [name for name in names if shares[name] < sizes[name]]
        neediest = max(open_names, key=lambda name: (ideal[name] - shares[name], name))
        shares[neediest] += 1
    return shares
