"""Requests and tokens per minute as token buckets."""

import time
from typing import Final

BURST_S: Final = 5.0
"""A full bucket holds the requests or tokens of this many seconds."""


class TokenBucket:
    """A token bucket that may be overdrawn: then the caller waits until it is level again."""

    def __init__(self, per_minute: int) -> None:
        self._rate = per_minute / 60
        self._capacity = max(1.0, self._rate * BURST_S)
        self._level = self._capacity
        self._filled_at = time.monotonic()

    def take(self, amount: float) -> float:
        """Take an amount; return the seconds to wait before it may be used."""
        now_s = time.monotonic()
        self._level = min(self._capacity, self._level + (now_s - self._filled_at) * self._rate)
        self._filled_at = now_s
        self._level -= amount
        return max(0.0, -self._level / self._rate)

    def give_back(self, amount: float) -> None:
        """Return what was taken and not used; a negative amount takes more."""
        self._level += amount
