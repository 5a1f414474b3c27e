"""The Pareto front: what nothing else beats in every respect."""

from collections.abc import Sequence


def pareto_front(points: Sequence[Sequence[float | None]]) -> list[int]:
    """Return the places of the points that no other point beats; higher is better.

    A point beats another if it is at least as good in every respect and better in one. A respect
    counts only if every point has a value there.

    Raises:
        ValueError: The points have different numbers of respects.
    """
    columns = list(zip(*points, strict=True))
    complete = [column for column in columns if None not in column]
    rows = [
        tuple(value for value in row if value is not None) for row in zip(*complete, strict=True)
    ]
    if not rows:
        return list(range(len(points)))
    return [
        place
        for place, row in enumerate(rows)
        if not any(other != row and _covers(other, row) for other in rows)
    ]


def _covers(first: Sequence[float], second: Sequence[float]) -> bool:
    return all(a >= b for a, b in zip(first, second, strict=True))
