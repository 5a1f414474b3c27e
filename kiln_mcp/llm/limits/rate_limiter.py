"""The rate limiter of a model's server, with its circuit breaker: every request passes it.

Configured limits hold for a server. Learned limits hold for one model, so others of its server
continue.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from kiln_mcp.llm.errors import (
    ModelError,
    ServerDown,
    ServerFailure,
    TooManyRequests,
    Unavailable,
    as_sentence,
)
from kiln_mcp.llm.limits.circuit_breaker import CircuitBreaker
from kiln_mcp.llm.limits.fair_limiter import FairLimiter
from kiln_mcp.llm.limits.learned_limits import DECREASE, PAUSE_S, LearnedLimits
from kiln_mcp.llm.limits.shared_limits import ServerLimits, SharedLimit, SharedLimits
from kiln_mcp.llm.limits.token_bucket import TokenBucket
from kiln_mcp.llm.limits.wait_policy import WaitPolicy
from kiln_mcp.llm.messages import ModelRequest, Usage

BYTES_PER_TOKEN: Final = 4


def estimated_tokens(request: ModelRequest) -> int:
    """Return roughly how many tokens a request and its answer take."""
    output_tokens = min(request.max_tokens, 256)
    return (
        sum(len(message.content) for message in request.messages) // BYTES_PER_TOKEN + output_tokens
    )


class RateLimiter:
    """The way to one server: every request passes it.

    Configured limits hold for the server, learned limits for each of its models.
    """

    def __init__(self, name: str, limits: ServerLimits, shared: SharedLimit | None = None) -> None:
        self._name = name
        self._shared = shared
        self._limits = limits
        self._limiter = FairLimiter(limits.concurrency)
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._requests = TokenBucket(requests) if requests and shared is None else None
        self._tokens = TokenBucket(tokens) if tokens and shared is None else None
        self._server_circuit = CircuitBreaker()
        self._paces: dict[str, LearnedLimits] = {}

    def _pace(self, model: str) -> LearnedLimits:
        if model not in self._paces:
            shared = None if self._shared is None else self._shared.pace(model)
            self._paces[model] = LearnedLimits(self._limits.concurrency, shared)
        return self._paces[model]

    @property
    def in_flight(self) -> int:
        """How many requests of this process it has let through."""
        if self._shared is None:
            return self._limiter.in_flight
        return sum(pace.limiter.in_flight for pace in self._paces.values())

    @property
    def concurrency(self) -> int:
        """How many requests the server allows to all workers together, as it is configured."""
        return self._limits.concurrency

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
        async with pace.limiter.turn(wait_policy.job):
            while True:
                self._check_circuits(request, pace)
                # Before the turn: a model that pauses takes none from the server's others.
                await pace.wait_out(wait_policy)
                async with self._turn(request.model, wait_policy.job):
                    if pace.is_paused:  # another request was refused meanwhile
                        continue
                    await self._keep_to_rates(request, wait_policy)
                    try:
                        with wait_policy.gauge.call(self, request.model):
                            yield passing
                    except ModelError as error:
                        self._failed(pace, error)
                        raise
                    self._record_success(pace, request, passing.usage)
                    return

    def _turn(self, model: str, job: str) -> AbstractAsyncContextManager[None]:
        """Hold one of the requests at once that the server allows to all workers together."""
        if self._shared is None:
            return self._limiter.turn(job)
        return _hold_slot(self._shared, model)

    def _check_circuits(self, request: ModelRequest, pace: LearnedLimits) -> None:
        for circuit, name in (
            (self._server_circuit, self._name),
            (pace.circuit, self._full(request)),
        ):
            if circuit.is_open:
                raise ModelError(
                    "{name!r} failed several times just now and is not asked for a while. The "
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
        """Return a model's full name: a rate limiter is a server's, or a single model's."""
        name = self._name
        return name if name.endswith(request.model) else f"{name}/{request.model}"

    def _failed(self, pace: LearnedLimits, error: ModelError) -> None:
        if isinstance(error, TooManyRequests):
            pace.slow_down(
                DECREASE, PAUSE_S if error.retry_after_s is None else error.retry_after_s
            )
        elif isinstance(error, Unavailable) and error.retry_after_s is not None:
            pace.slow_down(1.0, error.retry_after_s)
        if isinstance(error, ServerDown) and not error.is_unanswered:
            self._server_circuit.fail(error.detail)
            return
        self._server_circuit = CircuitBreaker()
        # The server was reached, so this model alone may fail.
        match error:
            case ServerDown():
                pace.circuit.fail(error.detail)
            case ServerFailure():  # its own words say more than a broken connection
                pace.circuit.reason = error.detail
            case _:
                pace.circuit = CircuitBreaker()  # it answers, if only to refuse

    def _record_success(self, pace: LearnedLimits, request: ModelRequest, usage: Usage) -> None:
        if self._server_circuit.failures:
            self._server_circuit = CircuitBreaker()
        pace.record_success()
        bucket = self._tokens or self._shared
        if bucket:
            tokens = usage.input_tokens + usage.output_tokens
            bucket.give_back(estimated_tokens(request) - tokens)


@asynccontextmanager
async def _hold_slot(shared: SharedLimit, model: str) -> AsyncGenerator[None]:
    slot = await shared.enter(model)
    try:
        yield
    finally:
        shared.leave(slot)


class Pass:
    """One request that passes a rate limiter; `usage` is set when its answer is there."""

    def __init__(self) -> None:
        self.usage = Usage()


class RateLimiters:
    """Makes the rate limiters of a process, which may share the limits with other processes."""

    def __init__(self, shared: SharedLimits | None = None) -> None:
        self._shared = shared

    def make(self, name: str, limits: ServerLimits, key: str | None = None) -> RateLimiter:
        """Return a new rate limiter.

        Args:
            name: The server's name here.
            limits: The limits of all processes together.
            key: The server's name on every machine; None for `name`.
        """
        shared = self._shared.of(key or name, limits) if self._shared else None
        return RateLimiter(name, limits, shared)

    async def close(self) -> None:
        """Give back what this process holds."""
        if self._shared is not None:
            await self._shared.close()
