"""How fast a model may be asked: set limits, learned limits, and a circuit for servers down.

Concurrency is learned as TCP learns its window (Chiu and Jain 1989, additive increase,
multiplicative decrease): a refusal for being too fast takes a third away, success gives back.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from kiln_mcp.llm.errors import CircuitOpen, ModelError, RateLimited, ServerDown
from kiln_mcp.llm.messages import ModelRequest, Usage

DECREASE: Final = 2 / 3
FAILURES_TO_OPEN: Final = 5
OPEN_S: Final = 15.0
PAUSE_S: Final = 1.0
BURST_S: Final = 5.0
BYTES_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model allows; None for no limit."""

    concurrency: int = 16
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class _Bucket:
    """A token bucket that may be overdrawn: who overdraws it waits until it is filled again."""

    def __init__(self, per_minute: int) -> None:
        self._rate = per_minute / 60
        self._most = max(1.0, self._rate * BURST_S)
        self._level = self._most
        self._filled_at = time.monotonic()

    def take(self, amount: float) -> float:
        """Take an amount; return the seconds to wait before it may be used."""
        now = time.monotonic()
        self._level = min(self._most, self._level + (now - self._filled_at) * self._rate)
        self._filled_at = now
        self._level -= amount
        return max(0.0, -self._level / self._rate)

    def give_back(self, amount: float) -> None:
        """Return what was taken and not used; a negative amount takes more."""
        self._level += amount


def estimated_tokens(request: ModelRequest) -> int:
    """Return roughly how many tokens a request and its answer take."""
    written = min(request.max_tokens, 256)
    return sum(len(message.content) for message in request.messages) // BYTES_PER_TOKEN + written


class Gate:
    """The way to one model: every request passes it."""

    def __init__(self, name: str, limits: Limits) -> None:
        self._name = name
        self._limits = limits
        self._width = float(limits.concurrency)
        self._limiter = anyio.CapacityLimiter(limits.concurrency)
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._requests = _Bucket(requests) if requests else None
        self._tokens = _Bucket(tokens) if tokens else None
        self._paused_until = 0.0
        self._failures = 0
        self._open_until = 0.0

    @property
    def width(self) -> int:
        """How many requests may run at once just now."""
        return int(self._limiter.total_tokens)

    @asynccontextmanager
    async def request(self, request: ModelRequest) -> AsyncGenerator["Pass"]:
        """Wait for this request's turn, and learn from what becomes of it.

        Raises:
            CircuitOpen: The server was down again and again just now.
        """
        passing = Pass()
        # On behalf of the pass, not of the task: a stream may be closed by another task.
        await self._limiter.acquire_on_behalf_of(passing)
        try:
            await self._wait_for_turn(request)
            try:
                yield passing
            except ModelError as error:
                self._failed(error)
                raise
            self._succeeded(request, passing.usage)
        finally:
            self._limiter.release_on_behalf_of(passing)

    async def _wait_for_turn(self, request: ModelRequest) -> None:
        left = self._open_until - time.monotonic()
        if left > 0:
            raise CircuitOpen(self._name, self._failures, left)
        wait = self._paused_until - time.monotonic()
        if self._requests:
            wait = max(wait, self._requests.take(1))
        if self._tokens:
            wait = max(wait, self._tokens.take(estimated_tokens(request)))
        if wait > 0:
            await anyio.sleep(wait)

    def _failed(self, error: ModelError) -> None:
        if isinstance(error, RateLimited):
            self._widen_to(self._width * DECREASE)
            pause = PAUSE_S if error.retry_after_s is None else error.retry_after_s
            self._paused_until = max(self._paused_until, time.monotonic() + pause)
        if isinstance(error, ServerDown):
            self._failures += 1
            if self._failures >= FAILURES_TO_OPEN:
                self._open_until = time.monotonic() + OPEN_S
        else:
            self._failures = 0  # it answers, if only to refuse

    def _succeeded(self, request: ModelRequest, usage: Usage) -> None:
        self._failures = 0
        if self._width < self._limits.concurrency:
            self._widen_to(self._width + 1 / self._width)
        if self._tokens:
            used = usage.input_tokens + usage.output_tokens
            self._tokens.give_back(estimated_tokens(request) - used)

    def _widen_to(self, width: float) -> None:
        self._width = min(max(1.0, width), float(self._limits.concurrency))
        self._limiter.total_tokens = int(self._width)


class Pass:
    """One request on its way; `usage` is set when its answer is there."""

    def __init__(self) -> None:
        self.usage = Usage()
