"""One request on its way to a model: within its budget, past its gate, and sent again."""

import random
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

import anyio

from kiln_mcp.llm.budget.budget import NotSent
from kiln_mcp.llm.budget.reservation import Reservation
from kiln_mcp.llm.budget.wait_policy import WaitPolicy
from kiln_mcp.llm.deltas import AnswerStream, size_of, stream_from
from kiln_mcp.llm.errors import Unavailable
from kiln_mcp.llm.limits.gate import Gate
from kiln_mcp.llm.messages import Model, ModelAnswer, ModelRequest
from kiln_mcp.llm.prices import FREE, Price, rough_usage

LONGEST_WAIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model's requests go.

    Attributes:
        model: What answers.
        name: The model's name as its server knows it.
        identity: What the answers depend on, for the journal.
        gate: How fast its server, and it, may be asked.
        price: What it costs; None where not known.
        withdraws: Whether a request that is given up is withdrawn, and has cost nothing.
    """

    model: Model
    name: str
    identity: str
    gate: Gate
    price: Price | None = FREE
    withdraws: bool = False


class Sender:
    """Sends requests, each as often as is worth it."""

    def __init__(self, attempts: int, first_wait_s: float) -> None:
        """Set how often.

        Args:
            attempts: How often a request is sent at most, when its failure may pass.
            first_wait_s: The longest first wait before it is sent again; later ones double.
        """
        self._attempts = attempts
        self._first_wait_s = first_wait_s
        self._random = random.Random()

    async def send(
        self, route: Route, request: ModelRequest, reservation: Reservation, wait_policy: WaitPolicy
    ) -> ModelAnswer:
        """Return a model's answer.

        Raises:
            ModelError: Its last attempt failed.
            BudgetSpent: The budget ends before the next attempt.
        """
        request = replace(request, model=route.name)
        for attempt in count(1):
            try:
                async with route.gate.request(request, wait_policy) as passing:
                    await reservation.begin()
                    answer = await route.model.complete(request)
                    passing.usage = answer.usage
                    reservation.pay(answer.usage)
                    return answer
            except NotSent:
                await reservation.hold_again()
            except Unavailable as error:
                await self._pause(attempt, error, reservation, wait_policy)
        raise AssertionError("count() does not end")

    async def stream(
        self, route: Route, request: ModelRequest, reservation: Reservation, wait_policy: WaitPolicy
    ) -> AnswerStream:
        """Yield a model's answer as it is written; after its first part it is not sent again.

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
                    # Counted on the way: a stream that is broken off is paid for as well.
                    reservation.usage = rough_usage(request, characters, route.price)
                yield part

    async def _stream_sent(
        self, route: Route, request: ModelRequest, reservation: Reservation, wait_policy: WaitPolicy
    ) -> AnswerStream:
        for attempt in count(1):
            began = False
            try:
                async with route.gate.request(request, wait_policy) as passing:
                    await reservation.begin()
                    async with aclosing(stream_from(route.model, request)) as parts:
                        async for part in parts:
                            began = True
                            if isinstance(part, ModelAnswer):
                                passing.usage = part.usage
                            yield part
                    return
            except NotSent:
                await reservation.hold_again()
            except Unavailable as error:
                if began:
                    raise
                await self._pause(attempt, error, reservation, wait_policy)

    async def _pause(
        self, attempt: int, error: Unavailable, reservation: Reservation, wait_policy: WaitPolicy
    ) -> None:
        """Wait before a request is sent again, or raise its error after the last attempt.

        Raises:
            ModelError: The server asks for a longer wait than makes sense.
            BudgetSpent: The time ends before, or what was sent counts as spent and leaves too
                little for the next attempt.
        """
        if attempt >= self._attempts:
            raise error
        if error.is_unanswered:
            reservation.lose()
        else:
            reservation.record_refusal()
        longest = min(self._first_wait_s * 2 ** (attempt - 1), LONGEST_WAIT_S)
        # Full jitter: Brooker (2015), Exponential Backoff and Jitter. On top of what the
        # server asked to wait, so that not all come back at once.
        jitter = self._random.uniform(0, longest)
        if error.retry_after_s is None:
            await wait_policy.wait_to_retry(jitter)
        else:
            await wait_policy.wait_for_server(error.retry_after_s, error.retry_after_s)
            await anyio.sleep(jitter)
        await reservation.hold()
