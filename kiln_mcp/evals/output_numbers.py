"""What stored outputs took: cost, time and tokens, of which less is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean, stdev
from typing import Final, Literal

from kiln_mcp.statistics import CannotTell, Interval, bayesian_mean_interval
from storage import ProjectStore, Task
from storage.index.slices import output_numbers

NumberName = Literal["cost_usd", "seconds", "tokens"]

MOST_RESAMPLED: Final = 500
"""Values whose mean gets a bootstrap interval; of more, the normal one is as good and fast."""


@dataclass(frozen=True, slots=True)
class NumberLine:
    """One number of stored outputs.

    Attributes:
        name: Which one.
        count: Outputs that have it.
        mean: Its mean.
        interval: The 95 % interval of the mean, or why there is none.
        median: The value in the middle.
        high: The value that one output in twenty passes.
    """

    name: NumberName
    count: int
    mean: float
    interval: Interval | CannotTell
    median: float
    high: float


async def number_lines(store: ProjectStore, task: Task, items: frozenset[str]) -> list[NumberLine]:
    """Return the numbers of the stored outputs of some items; none that no output has."""
    path = task.saved.path
    rows = await store.ask(lambda index: output_numbers(index, path))
    own = [row for row in rows if row.item_id in items]
    values: dict[NumberName, list[float]] = {
        "cost_usd": [row.cost for row in own if row.cost is not None],
        "seconds": [row.latency_ms / 1000 for row in own if row.latency_ms is not None],
        "tokens": [float(row.tokens) for row in own if row.tokens is not None],
    }
    return [_line(name, numbers) for name, numbers in values.items() if numbers]


def _line(name: NumberName, values: Sequence[float]) -> NumberLine:
    ascending = sorted(values)
    last = len(ascending) - 1
    return NumberLine(
        name=name,
        count=len(ascending),
        mean=fmean(ascending),
        interval=_mean_interval(ascending),
        median=ascending[round(last * 0.5)],
        high=ascending[round(last * 0.95)],
    )


def _mean_interval(values: Sequence[float]) -> Interval | CannotTell:
    if len(values) <= MOST_RESAMPLED:
        return bayesian_mean_interval(values)
    mean = fmean(values)
    half = NormalDist().inv_cdf(0.975) * stdev(values, mean) / sqrt(len(values))
    return Interval(mean - half, mean + half)
