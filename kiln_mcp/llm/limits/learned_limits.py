"""The learned limits of one model.

Concurrency is learned by additive increase and multiplicative decrease (Chiu and Jain 1989), as in
TCP: a refusal for being too fast takes a third away, success gives it back.
"""

import time
from typing import Final

from kiln_mcp.llm.limits.circuit_breaker import CircuitBreaker
from kiln_mcp.llm.limits.fair_limiter import FairLimiter
from kiln_mcp.llm.limits.shared_limits import SharedLearnedLimits
from kiln_mcp.llm.limits.wait_policy import LONGEST_ASKED_S, WaitPolicy

DECREASE: Final = 2 / 3
PAUSE_S: Final = 1.0
"""The pause after a refusal for being too fast that asks for none."""


class LearnedLimits:
    """The learned limits of one model: concurrency, pauses, and its circuit breaker."""

    def __init__(self, concurrency: int, shared: SharedLearnedLimits | None) -> None:
        self.limiter = FairLimiter(concurrency)
        self.circuit = CircuitBreaker()
        self._concurrency = float(concurrency)
        self._width = self._concurrency
        self._shared = shared
        self._asked_s = 0.0
        self._paused_until = 0.0

    @property
    def width(self) -> int:
        """How many requests may be made at once now."""
        return int(self._width if self._shared is None else self._shared.width)

    @property
    def is_paused(self) -> bool:
        """Whether the server has asked this or another worker to wait."""
        shared_s = 0.0 if self._shared is None else self._shared.pause_left
        return max(shared_s, self._paused_until - time.monotonic()) > 0

    async def wait_out(self, wait_policy: WaitPolicy) -> None:
        """Wait until every pause is over that a server asked of this or another worker."""
        while (remaining_s := self._paused_until - time.monotonic()) > 0:
            await wait_policy.wait_for_server(self._asked_s, remaining_s)
        while self._shared is not None and (remaining_s := self._shared.pause_left) > 0:
            await wait_policy.wait_for_server(self._shared.asked_s, remaining_s)

    def slow_down(self, factor: float, pause_s: float) -> None:
        """Learn that requests came too fast.

        Args:
            factor: Multiplies the number of requests at once; 1 for a pause alone.
            pause_s: How long the server asked to wait.
        """
        if self._shared is not None:
            self._shared.slow_down(factor, pause_s)
        elif factor < 1:
            self._widen_to(self._width * factor)
        until = time.monotonic() + min(pause_s, LONGEST_ASKED_S)
        if until > self._paused_until:
            self._asked_s, self._paused_until = pause_s, until

    def record_success(self) -> None:
        """Learn that a request was answered."""
        self.circuit = CircuitBreaker()
        if self._shared is not None:
            self._shared.record_success()
        elif self._width < self._concurrency:
            self._widen_to(self._width + 1 / self._width)

    def _widen_to(self, width: float) -> None:
        self._width = min(max(1.0, width), self._concurrency)
        self.limiter.capacity = int(self._width)
