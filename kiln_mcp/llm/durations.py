"""Durations in words."""

from typing import Final

_UNITS: Final = (("days", 86_400), ("hours", 3600), ("min", 60))


def duration(seconds: float) -> str:
    """Return a duration in the largest unit that it holds twice; in seconds below ten minutes."""
    if seconds < 600:
        return f"{seconds:.0f} s"
    unit, length = next((unit, s) for unit, s in _UNITS if seconds >= 2 * s)
    return f"{seconds / length:.0f} {unit}"
