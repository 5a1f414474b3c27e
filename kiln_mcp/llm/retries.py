"""Send a request: within its budget, through its rate limiter, with retries."""

import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

import anyio

from kiln_mcp.llm.budget.budget import NotSent
from kiln_mcp.llm.budget.reservation import Reservation
from kiln_mcp.llm.deltas import AnswerStream, size_of, stream_from
from kiln_mcp.llm.errors import Unavailable
from kiln_mcp.llm.limits.rate_limiter import RateLimiter
from kiln_mcp.llm.limits.wait_policy import WaitPolicy
from kiln_mcp.llm.messages import Model, ModelAnswer, ModelRequest
from kiln_mcp.llm.prices import FREE, Price, rough_usage
from kiln_mcp.llm.response_cache.cache import CacheEntry

LONGEST_WAIT_S: Final = 30.0

Keep = Callable[[ModelAnswer], Awaitable[CacheEntry]]
"""Keeps an answer where a kill of this process does not reach it."""


@dataclass(frozen=True, slots=True)
class Route:
    """The route of a model's requests.

    Attributes:
        model: The provider's model.
        name: The model's name as its server knows it.
        identity: What the answers depend on, for the response cache's key.
        rate_limiter: The rate limiter and circuit breaker of its server.
        price: What it costs; None if not known.
        withdraws: Whether a cancelled request is withdrawn, and costs nothing.
    """

    model: Model
    name: str
    identity: str
    rate_limiter: RateLimiter
    price: Price | None = FREE
    withdraws: bool = False


class RetryPolicy:
    """The retry policy: sends each request, and again after failures that may pass."""

    def __init__(self, attempts: int, first_wait_s: float) -> None:
        """Set the policy.

        Args:
            attempts: How often a request is sent at most.
            first_wait_s: The longest wait before the first retry; it doubles with each retry.
        """
        self._attempts = attempts
        self._first_wait_s = first_wait_s
        self._random = random.Random()

    async def send(
        self,
        route: Route,
        request: ModelRequest,
        reservation: Reservation,
        wait_policy: WaitPolicy,
        keep: Keep,
    ) -> CacheEntry:
        """Return a model's answer as it is kept.

        The call holds its turn at the server until its answer is kept. So no more answers can be
        lost with this process than calls may be in flight.

        Raises:
            ModelError: Its last attempt failed, or its answer could not be kept.
            BudgetSpent: The budget ends before the next attempt.
        """
        request = replace(request, model=route.name)
        for attempt in count(1):
            try:
                async with route.rate_limiter.request(request, wait_policy) as passing:
                    await reservation.begin()
                    answer = await route.model.complete(request)
                    passing.usage = answer.usage
                    reservation.pay(answer.usage)
                    return await keep(answer)
            except NotSent:
                await reservation.renew()
            except Unavailable as error:
                await self._back_off(attempt, error, reservation, wait_policy)
        raise AssertionError("count() does not end")

    async def stream(
        self, route: Route, request: ModelRequest, reservation: Reservation, wait_policy: WaitPolicy
    ) -> AnswerStream:
        """Yield a model's answer while it is written; there is no retry after its first part.

        Raises:
            ModelError: As `send`.
        """
        request = replace(request, model=route.name)
        characters = 0
        async with aclosing(self._stream_sent(route, request, reservation, wait_policy)) as parts:
            async for part in parts:
                if isinstance(part, ModelAnswer):
                    reservation.pay(part.usage)
                else:
                    characters += size_of(part)
                    # Counted with each part: an incomplete stream is paid for, too.
                    reservation.usage = rough_usage(request, characters, route.price)
                yield part

    async def _stream_sent(
        self, route: Route, request: ModelRequest, reservation: Reservation, wait_policy: WaitPolicy
    ) -> AnswerStream:
        for attempt in count(1):
            began = False
            try:
                async with route.rate_limiter.request(request, wait_policy) as passing:
                    await reservation.begin()
                    async with aclosing(stream_from(route.model, request)) as parts:
                        async for part in parts:
                            began = True
                            if isinstance(part, ModelAnswer):
                                passing.usage = part.usage
                            yield part
                    return
            except NotSent:
                await reservation.renew()
            except Unavailable as error:
                if began:
                    raise
                await self._back_off(attempt, error, reservation, wait_policy)

    async def _back_off(
        self, attempt: int, error: Unavailable, reservation: Reservation, wait_policy: WaitPolicy
    ) -> None:
        """Wait before a retry, or raise the error after the last attempt.

        Raises:
            ModelError: The server asks for a longer wait than makes sense.
            BudgetSpent: The time ends before, or the last attempt counts as spent and leaves too
                little for the next.
        """
        if attempt >= self._attempts:
            raise error
        if error.is_unanswered:
            reservation.record_loss()
        else:
            reservation.record_refusal()
        longest = min(self._first_wait_s * 2 ** (attempt - 1), LONGEST_WAIT_S)
        # Full jitter: Brooker (2015), Exponential Backoff and Jitter. It is added to the wait that
        # the server asked for, so that not all calls come back at once.
        jitter = self._random.uniform(0, longest)
        if error.retry_after_s is None:
            await wait_policy.wait_to_retry(jitter)
        else:
            await wait_policy.wait_for_server(error.retry_after_s, error.retry_after_s)
            await anyio.sleep(jitter)
        await reservation.hold()
