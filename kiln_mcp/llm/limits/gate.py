"""The rate limiter and the circuit breaker of a model's server.

Configured limits hold for a server. Learned limits hold for one model, so others of its server
continue. Concurrency is learned by additive increase and multiplicative decrease (Chiu and Jain
1989), as in TCP: a refusal for being too fast takes a third away, success gives it back.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import anyio

from kiln_mcp.llm.budget.wait_policy import LONGEST_ASKED_S, WaitPolicy
from kiln_mcp.llm.errors import (
    ModelError,
    ServerDown,
    ServerFailure,
    TooManyRequests,
    Unavailable,
    as_sentence,
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
    """The configured limits of a server; None for no limit."""

    concurrency: int = 16
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to one request at a time, of those that all workers have together.

    Attributes:
        number: Which of them.
        since: When this process got it, by the monotonic clock.
        session: The number of the connection that holds it.
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
        """How long the model's server last asked any of them to wait."""
        ...

    @property
    def pause_left(self) -> float:
        """Seconds of that wait that remain; 0 or less for none."""
        ...

    def slow_down(self, factor: float, pause_s: float) -> None:
        """Tell all that requests came too fast.

        Args:
            factor: Multiplies the number of requests at once; 1 for a pause alone.
            pause_s: How long the server asked to wait.
        """
        ...

    def record_success(self) -> None:
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
        """Count a request by its estimated tokens; return the seconds to wait before it."""
        ...

    def give_back(self, tokens: int) -> None:
        """Return tokens that were taken and not used; a negative number takes more."""
        ...


class SharedLimits(Protocol):
    """The limits that all workers of a shared database keep together."""

    def of(self, key: str, limits: Limits) -> SharedLimit:
        """Return the limit of a server, by its name on every machine."""
        ...

    async def close(self) -> None:
        """Give back what this process holds."""
        ...


class _Bucket:
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


def estimated_tokens(request: ModelRequest) -> int:
    """Return roughly how many tokens a request and its answer take."""
    output_tokens = min(request.max_tokens, 256)
    return (
        sum(len(message.content) for message in request.messages) // BYTES_PER_TOKEN + output_tokens
    )


@dataclass(slots=True)
class _CircuitBreaker:
    """The circuit breaker: opens for some seconds after several failures in a row."""

    failures: int = 0
    open_until: float = 0.0
    reason: str = ""

    def fail(self, reason: str) -> None:
        self.failures += 1
        self.reason = self.reason or reason
        if self.failures >= FAILURES_TO_OPEN:
            self.open_until = time.monotonic() + OPEN_S


class _Pace:
    """The learned limits of one model: concurrency, pauses, and its circuit breaker."""

    def __init__(self, concurrency: int, shared: SharedPace | None) -> None:
        self.limiter = anyio.CapacityLimiter(concurrency)
        self.circuit = _CircuitBreaker()
        self._concurrency = float(concurrency)
        self._width = self._concurrency
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

    async def wait_out(self, wait_policy: WaitPolicy) -> None:
        """Wait until every pause is over that a server asked of this or another worker."""
        while (remaining_s := self._paused_until - time.monotonic()) > 0:
            await wait_policy.wait_for_server(self._asked_s, remaining_s)
        while self._shared is not None and (remaining_s := self._shared.pause_left) > 0:
            await wait_policy.wait_for_server(self._shared.asked_s, remaining_s)

    def slow_down(self, factor: float, pause_s: float) -> None:
        if self._shared is not None:
            self._shared.slow_down(factor, pause_s)
        elif factor < 1:
            self._widen_to(self._width * factor)
        until = time.monotonic() + min(pause_s, LONGEST_ASKED_S)
        if until > self._paused_until:
            self._asked_s, self._paused_until = pause_s, until

    def record_success(self) -> None:
        self.circuit = _CircuitBreaker()
        if self._shared is not None:
            self._shared.record_success()
        elif self._width < self._concurrency:
            self._widen_to(self._width + 1 / self._width)

    def _widen_to(self, width: float) -> None:
        self._width = min(max(1.0, width), self._concurrency)
        self.limiter.total_tokens = int(self._width)


class Gate:
    """The way to one server: every request passes it.

    Configured limits hold for the server, learned limits for each of its models.
    """

    def __init__(self, name: str, limits: Limits, shared: SharedLimit | None = None) -> None:
        self._name = name
        self._shared = shared
        self._limits = limits
        self._limiter = anyio.CapacityLimiter(limits.concurrency)
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._requests = _Bucket(requests) if requests and shared is None else None
        self._tokens = _Bucket(tokens) if tokens and shared is None else None
        self._server_circuit = _CircuitBreaker()
        self._paces: dict[str, _Pace] = {}

    def _pace(self, model: str) -> _Pace:
        if model not in self._paces:
            shared = None if self._shared is None else self._shared.pace(model)
            self._paces[model] = _Pace(self._limits.concurrency, shared)
        return self._paces[model]

    def width(self, model: str) -> int:
        """Return how many requests all workers together may make to a model at once now."""
        return self._pace(model).width

    @asynccontextmanager
    async def request(
        self, request: ModelRequest, wait_policy: WaitPolicy | None = None
    ) -> AsyncGenerator["Pass"]:
        """Wait for a request's turn, and learn from its outcome.

        Args:
            request: What is asked.
            wait_policy: How long it may wait, and who is told; None for nobody.

        Raises:
            ModelError: The circuit breaker is open, or the server asks for too long a wait.
            BudgetSpent: The time that is left ends before its turn.
        """
        passing = Pass()
        pace = self._pace(request.model)
        wait_policy = wait_policy or WaitPolicy(self._name)
        async with _hold(pace.limiter, passing):
            while True:
                self._check_circuits(request, pace)
                # Before the turn: a model that pauses takes none from the server's others.
                await pace.wait_out(wait_policy)
                async with self._turn(request.model, passing):
                    if pace.is_paused:  # another request was refused meanwhile
                        continue
                    await self._keep_to_rates(request, wait_policy)
                    try:
                        yield passing
                    except ModelError as error:
                        self._failed(pace, error)
                        raise
                    self._record_success(pace, request, passing.usage)
                    return

    @asynccontextmanager
    async def _turn(self, model: str, passing: "Pass") -> AsyncGenerator[None]:
        """Hold one of the requests at once that the server allows to all workers together."""
        if self._shared is None:
            async with _hold(self._limiter, passing):
                yield
            return
        slot = await self._shared.enter(model)
        try:
            yield
        finally:
            self._shared.leave(slot)

    def _check_circuits(self, request: ModelRequest, pace: _Pace) -> None:
        for circuit, name in (
            (self._server_circuit, self._name),
            (pace.circuit, self._full(request)),
        ):
            if circuit.open_until > time.monotonic():
                raise ModelError(
                    "{name!r} failed again and again just now and is not asked for a while. The "
                    "last reason: {reason} Check that its server is running and its address is "
                    "right.",
                    name=name,
                    reason=as_sentence(circuit.reason),
                )

    async def _keep_to_rates(self, request: ModelRequest, wait_policy: WaitPolicy) -> None:
        wait = 0.0
        if self._requests:
            wait = max(wait, self._requests.take(1))
        if self._tokens:
            wait = max(wait, self._tokens.take(estimated_tokens(request)))
        if self._shared:
            wait = max(wait, await self._shared.take(estimated_tokens(request)))
        if wait > 0:
            await wait_policy.wait_for_rate(wait)

    def _full(self, request: ModelRequest) -> str:
        """Return a model's full name: a gate is a server's, or a single model's."""
        name = self._name
        return name if name.endswith(request.model) else f"{name}/{request.model}"

    def _failed(self, pace: _Pace, error: ModelError) -> None:
        if isinstance(error, TooManyRequests):
            pace.slow_down(
                DECREASE, PAUSE_S if error.retry_after_s is None else error.retry_after_s
            )
        elif isinstance(error, Unavailable) and error.retry_after_s is not None:
            pace.slow_down(1.0, error.retry_after_s)
        if isinstance(error, ServerDown) and not error.is_unanswered:
            self._server_circuit.fail(error.detail)
            return
        self._server_circuit = _CircuitBreaker()
        # The server was reached, so this model alone may fail.
        match error:
            case ServerDown():
                pace.circuit.fail(error.detail)
            case ServerFailure():  # its own words say more than a broken connection
                pace.circuit.reason = error.detail
            case _:
                pace.circuit = _CircuitBreaker()  # it answers, if only to refuse

    def _record_success(self, pace: _Pace, request: ModelRequest, usage: Usage) -> None:
        if self._server_circuit.failures:
            self._server_circuit = _CircuitBreaker()
        pace.record_success()
        bucket = self._tokens or self._shared
        if bucket:
            tokens = usage.input_tokens + usage.output_tokens
            bucket.give_back(estimated_tokens(request) - tokens)


@asynccontextmanager
async def _hold(limiter: anyio.CapacityLimiter, passing: "Pass") -> AsyncGenerator[None]:
    # On behalf of the pass, not of the task: a stream may be closed by another task.
    await limiter.acquire_on_behalf_of(passing)
    try:
        yield
    finally:
        limiter.release_on_behalf_of(passing)


class Pass:
    """One request that passes the gate; `usage` is set when its answer is there."""

    def __init__(self) -> None:
        self.usage = Usage()


class Gates:
    """Makes the gates of a process, which may share the limits with other processes."""

    def __init__(self, shared: SharedLimits | None = None) -> None:
        self._shared = shared

    def gate(self, name: str, limits: Limits, key: str | None = None) -> Gate:
        """Return a new gate.

        Args:
            name: The server's name here.
            limits: The limits of all processes together.
            key: The server's name on every machine; None for `name`.
        """
        shared = self._shared.of(key or name, limits) if self._shared else None
        return Gate(name, limits, shared)

    async def close(self) -> None:
        """Give back what this process holds."""
        if self._shared is not None:
            await self._shared.close()
