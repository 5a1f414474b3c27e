"""How fast a model may be asked: set limits, learned limits, and a circuit for servers down.

What is set holds for a server, what is learned for one model: others of its server go on.
Concurrency is learned as TCP learns its window (Chiu and Jain 1989, additive increase,
multiplicative decrease): a refusal for being too fast takes a third away, success gives back.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import anyio

from kiln_mcp.llm.budget.wait_policy import LONGEST_ASKED_S, Patience
from kiln_mcp.llm.errors import (
    CircuitOpen,
    ModelError,
    RateLimited,
    ServerDown,
    ServerFailed,
    Unavailable,
)
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


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to one request at a time, of those that all workers have together.

    Attributes:
        number: Which of them.
        since: When this process got it, by its own clock that nobody can set.
        session: Of the connection that holds it.
    """

    number: int
    since: float
    session: int


class SharedPace(Protocol):
    """What all workers together have learned of one model."""

    @property
    def width(self) -> float:
        """How many requests all of them may make at once just now."""
        ...

    @property
    def asked_s(self) -> float:
        """How long the model's server asked any of them to wait, the last time."""
        ...

    @property
    def pause_left(self) -> float:
        """Seconds to wait for that from now on; 0 or less for none."""
        ...

    def slow_down(self, factor: float, pause_s: float) -> None:
        """Tell all that requests came too fast.

        Args:
            factor: By what to multiply how many are made at once; 1 for a pause alone.
            pause_s: How long the server asked to wait.
        """
        ...

    def succeeded(self) -> None:
        """Tell all that a request was answered."""
        ...


class SharedLimit(Protocol):
    """What all workers together may ask of one server."""

    def pace(self, model: str) -> SharedPace:
        """Return what is learned of one of its models."""
        ...

    async def enter(self, model: str) -> Slot:
        """Wait for a free slot that a model may have, and take it."""
        ...

    def leave(self, slot: Slot) -> None:
        """Give a slot back."""
        ...

    async def take(self, tokens: int) -> float:
        """Count a request of about so many tokens; return the seconds to wait before it."""
        ...

    def give_back(self, tokens: int) -> None:
        """Count tokens that were taken and not used; a negative number takes more."""
        ...


class SharedLimits(Protocol):
    """Where the workers of a shared database keep to each server's limits."""

    def of(self, key: str, limits: Limits) -> SharedLimit:
        """Return the limit of a server, by what it is called on every machine."""
        ...

    async def close(self) -> None:
        """Give back what this process holds."""
        ...


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


@dataclass(slots=True)
class _Circuit:
    """Opens when the connection failed again and again; then nobody is asked for a while."""

    failures: int = 0
    open_until: float = 0.0
    reason: str = ""

    def fail(self, reason: str) -> None:
        self.failures += 1
        self.reason = self.reason or reason
        if self.failures >= FAILURES_TO_OPEN:
            self.open_until = time.monotonic() + OPEN_S


class _Pace:
    """What is learned of one model: how many requests at once, pauses, and whether it breaks."""

    def __init__(self, most: int, shared: SharedPace | None) -> None:
        self.limiter = anyio.CapacityLimiter(most)
        self.broken = _Circuit()
        self._most = float(most)
        self._width = self._most
        self._shared = shared
        self._asked_s = 0.0
        self._paused_until = 0.0

    @property
    def width(self) -> int:
        return int(self._width if self._shared is None else self._shared.width)

    @property
    def is_paused(self) -> bool:
        shared_s = 0.0 if self._shared is None else self._shared.pause_left
        return max(shared_s, self._paused_until - time.monotonic()) > 0

    async def wait_out(self, patience: Patience) -> None:
        """Wait until no pause is left that was asked for here or of another worker."""
        while (left := self._paused_until - time.monotonic()) > 0:
            await patience.as_asked(self._asked_s, left)
        while self._shared is not None and (left := self._shared.pause_left) > 0:
            await patience.as_asked(self._shared.asked_s, left)

    def slow_down(self, factor: float, pause_s: float) -> None:
        if self._shared is not None:
            self._shared.slow_down(factor, pause_s)
        elif factor < 1:
            self._widen_to(self._width * factor)
        until = time.monotonic() + min(pause_s, LONGEST_ASKED_S)
        if until > self._paused_until:
            self._asked_s, self._paused_until = pause_s, until

    def succeeded(self) -> None:
        self.broken = _Circuit()
        if self._shared is not None:
            self._shared.succeeded()
        elif self._width < self._most:
            self._widen_to(self._width + 1 / self._width)

    def _widen_to(self, width: float) -> None:
        self._width = min(max(1.0, width), self._most)
        self.limiter.total_tokens = int(self._width)


class Gate:
    """The way to one server: every request passes it.

    What the person has set holds for the server; what is learned, for each of its models.
    """

    def __init__(self, name: str, limits: Limits, shared: SharedLimit | None = None) -> None:
        self._name = name
        self._shared = shared
        self._limits = limits
        self._limiter = anyio.CapacityLimiter(limits.concurrency)
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._requests = _Bucket(requests) if requests and shared is None else None
        self._tokens = _Bucket(tokens) if tokens and shared is None else None
        self._unreached = _Circuit()
        self._paces: dict[str, _Pace] = {}

    def _pace(self, model: str) -> _Pace:
        if model not in self._paces:
            shared = None if self._shared is None else self._shared.pace(model)
            self._paces[model] = _Pace(self._limits.concurrency, shared)
        return self._paces[model]

    def width(self, model: str) -> int:
        """Return how many requests a model may have at once just now, of all workers together."""
        return self._pace(model).width

    @asynccontextmanager
    async def request(
        self, request: ModelRequest, patience: Patience | None = None
    ) -> AsyncGenerator["Pass"]:
        """Wait for this request's turn, and learn from what becomes of it.

        Args:
            request: What is asked.
            patience: How long it waits and who hears of it; None for nobody.

        Raises:
            CircuitOpen: The server was down again and again just now.
            AsksTooLong: The server asks for a longer wait than makes sense.
            BudgetSpent: The time that is left ends before its turn.
        """
        passing = Pass()
        pace = self._pace(request.model)
        patience = patience or Patience(self._name)
        async with _held(pace.limiter, passing):
            while True:
                self._check_circuits(request, pace)
                # Before the turn: a model that pauses takes none from the server's others.
                await pace.wait_out(patience)
                async with self._turn(request.model, passing):
                    if pace.is_paused:  # another request was refused meanwhile
                        continue
                    await self._keep_to_rates(request, patience)
                    try:
                        yield passing
                    except ModelError as error:
                        self._failed(pace, error)
                        raise
                    self._succeeded(pace, request, passing.usage)
                    return

    @asynccontextmanager
    async def _turn(self, model: str, passing: "Pass") -> AsyncGenerator[None]:
        """Hold one of the server's requests at once, which all workers have together."""
        if self._shared is None:
            async with _held(self._limiter, passing):
                yield
            return
        slot = await self._shared.enter(model)
        try:
            yield
        finally:
            self._shared.leave(slot)

    def _check_circuits(self, request: ModelRequest, pace: _Pace) -> None:
        for circuit, name in ((self._unreached, self._name), (pace.broken, self._full(request))):
            if circuit.open_until > time.monotonic():
                raise CircuitOpen(name, circuit.reason)

    async def _keep_to_rates(self, request: ModelRequest, patience: Patience) -> None:
        wait = 0.0
        if self._requests:
            wait = max(wait, self._requests.take(1))
        if self._tokens:
            wait = max(wait, self._tokens.take(estimated_tokens(request)))
        if self._shared:
            wait = max(wait, await self._shared.take(estimated_tokens(request)))
        if wait > 0:
            await patience.for_limit(wait)

    def _full(self, request: ModelRequest) -> str:
        """Return a model's full name: a gate is a server's, or a single model's."""
        name = self._name
        return name if name.endswith(request.model) else f"{name}/{request.model}"

    def _failed(self, pace: _Pace, error: ModelError) -> None:
        if isinstance(error, RateLimited):
            pace.slow_down(
                DECREASE, PAUSE_S if error.retry_after_s is None else error.retry_after_s
            )
        elif isinstance(error, Unavailable) and error.retry_after_s is not None:
            pace.slow_down(1.0, error.retry_after_s)
        if isinstance(error, ServerDown) and not error.unanswered:
            self._unreached.fail(error.detail)
            return
        self._unreached = _Circuit()
        # It was reached, so what fails may be this model alone.
        match error:
            case ServerDown():
                pace.broken.fail(error.detail)
            case ServerFailed():  # its own words say more than the connections that break
                pace.broken.reason = error.detail
            case _:
                pace.broken = _Circuit()  # it answers, if only to refuse

    def _succeeded(self, pace: _Pace, request: ModelRequest, usage: Usage) -> None:
        if self._unreached.failures:
            self._unreached = _Circuit()
        pace.succeeded()
        bucket = self._tokens or self._shared
        if bucket:
            used = usage.input_tokens + usage.output_tokens
            bucket.give_back(estimated_tokens(request) - used)


@asynccontextmanager
async def _held(limiter: anyio.CapacityLimiter, passing: "Pass") -> AsyncGenerator[None]:
    # On behalf of the pass, not of the task: a stream may be closed by another task.
    await limiter.acquire_on_behalf_of(passing)
    try:
        yield
    finally:
        limiter.release_on_behalf_of(passing)


class Pass:
    """One request on its way; `usage` is set when its answer is there."""

    def __init__(self) -> None:
        self.usage = Usage()


class Gates:
    """Makes the gates of a process, which may share the limits with other processes."""

    def __init__(self, shared: SharedLimits | None = None) -> None:
        self._shared = shared

    def gate(self, name: str, limits: Limits, key: str | None = None) -> Gate:
        """Return a new gate.

        Args:
            name: What it is called here.
            limits: What holds for all processes together.
            key: What it is called on every machine; None for its name.
        """
        shared = self._shared.of(key or name, limits) if self._shared else None
        return Gate(name, limits, shared)

    async def close(self) -> None:
        """Give back what this process holds."""
        if self._shared is not None:
            await self._shared.close()
