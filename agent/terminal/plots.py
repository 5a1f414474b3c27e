"""Small plots in block characters: a rate with its interval, and a curve."""

from collections.abc import Sequence
from typing import Final

_STEPS: Final = "▁▂▃▄▅▆▇█"
WIDTH: Final = 24


def interval_bar(value: float, low: float, high: float, width: int = WIDTH) -> str:
    """Return a line from 0 to 1 with an interval and the value in it: `···├──●──┤····`.

    Args:
        value: The rate; it may lie outside of its interval, and all three outside of 0 to 1.
        low: The lower end of the interval.
        high: Its upper end.
        width: The characters of the line.
    """
    last = max(1, width) - 1

    def place(number: float) -> int:
        return round(min(1.0, max(0.0, number)) * last)

    cells = ["·"] * (last + 1)
    for cell in range(place(low), place(high) + 1):
        cells[cell] = "─"
    cells[place(low)] = "├"
    cells[place(high)] = "┤"
    cells[place(value)] = "●"
    return "".join(cells)


def progress_bar(done: float, total: float | None, width: int = 12) -> str:
    """Return a bar of the work that is done; empty if the total is not known."""
    if not total or total <= 0:
        return ""
    full = round(min(1.0, max(0.0, done / total)) * width)
    return "█" * full + "░" * (width - full)


def curve(values: Sequence[float], width: int = 40) -> str:
    """Return the course of some numbers, from the lowest to the highest of them.

    Of more numbers than columns, each column shows the last one that falls into it.
    """
    if not values:
        return ""
    count = min(width, len(values))
    columns = [values[(place + 1) * len(values) // count - 1] for place in range(count)]
    low, high = min(columns), max(columns)
    if high == low:
        return _STEPS[0] * count
    return "".join(_STEPS[round((value - low) / (high - low) * 7)] for value in columns)
