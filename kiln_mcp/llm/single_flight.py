"""Single flight: equal requests share one call, from the response cache or sent within a budget."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import anyio

from kiln_mcp.llm.answer_checks import settle
from kiln_mcp.llm.answer_schemas import check_usable, fit
from kiln_mcp.llm.budget.budget import Budget
from kiln_mcp.llm.budget.reservation import Reservation, hold_reservation, maximum_expense
from kiln_mcp.llm.deltas import Delta, deltas_of
from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.llm.limits.wait_policy import WaitPolicy
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest
from kiln_mcp.llm.response_cache.cache import CacheEntry, Key, NewEntry, ResponseCache, request_key
from kiln_mcp.llm.retries import RetryPolicy, Route


@dataclass(frozen=True, slots=True)
class Call:
    """The asker and the terms of a call.

    Attributes:
        asker: Who asks, as a path.
        fresh: Whether the model is asked even if the response cache has an answer.
        budget: What may be spent; None for no limit.
        wait_policy: How long it may wait, and who is told.
    """

    asker: str
    fresh: bool
    budget: Budget | None
    wait_policy: WaitPolicy

    @property
    def own(self) -> str | None:
        """The prefix of all askers of its job; None outside of jobs."""
        return None if self.budget is None else f"{self.budget.name}/"

    def has_paid(self, entry: CacheEntry) -> bool:
        """Whether the same asker has paid for an answer in an earlier attempt of its job."""
        return self.own is not None and entry.asker == self.asker

    def reserve(
        self, request: ModelRequest, route: Route
    ) -> AbstractAsyncContextManager[Reservation]:
        """Reserve what the call can take, if it has a budget."""
        if self.budget is None:
            return nullcontext(Reservation())
        maximum = maximum_expense(request, route.price)
        return hold_reservation(
            Reservation(self.budget, request.model, maximum, withdraws=route.withdraws)
        )

    def in_time(self, route: Route) -> AbstractAsyncContextManager[None]:
        """Cancel the body at the end of the budget's time."""
        if self.budget is None:
            return nullcontext()
        return self.budget.in_time(withdraws=route.withdraws)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A request's key in the response cache, and its answer if there is one."""

    key: Key
    entry: CacheEntry | None = None


class SingleFlight:
    """Answers requests; equal ones at the same time share one call."""

    def __init__(self, cache: ResponseCache, retry_policy: RetryPolicy) -> None:
        self._cache = cache
        self._retries = retry_policy
        self._in_flight: dict[Key, list[anyio.Event]] = {}

    async def ask(self, route: Route, request: ModelRequest, call: Call) -> CacheEntry:
        """Return the answer to a request, from the response cache or new.

        Raises:
            ModelError: The call failed.
            BudgetSpent: The budget does not allow it.
        """
        async with self._turn(request, route, call) as turn:
            if turn.entry is not None:
                return turn.entry
            await check_usable(request)
            async with call.in_time(route), call.reserve(request, route) as reservation:
                keep = partial(self._remember, turn.key, request, call, reservation)
                return await self._retries.send(route, request, reservation, call.wait_policy, keep)

    async def known_answers(
        self, route: Route, requests: Sequence[ModelRequest]
    ) -> list[CacheEntry | None]:
        """Return the answers that the response cache has; None for a request that is in flight."""
        keys = [request_key(request, route.identity) for request in requests]
        entries = await self._cache.read_all([key for key in keys if key not in self._in_flight])
        return [entries.get(key) for key in keys]

    async def stream(
        self, route: Route, request: ModelRequest, call: Call
    ) -> AsyncGenerator[Delta | CacheEntry]:
        """Yield an answer's deltas, then its entry in the response cache; raises as `ask` does."""
        async with self._turn(request, route, call) as turn:
            if turn.entry is not None:
                for delta in deltas_of(turn.entry.answer):
                    yield delta
                yield turn.entry
                return
            await check_usable(request)
            async with (
                call.reserve(request, route) as reservation,
                aclosing(
                    self._retries.stream(route, request, reservation, call.wait_policy)
                ) as parts,
            ):
                async for part in parts:
                    if isinstance(part, ModelAnswer):
                        yield await self._remember(turn.key, request, call, reservation, part)
                    else:
                        yield part

    @asynccontextmanager
    async def _turn(self, request: ModelRequest, route: Route, call: Call) -> AsyncGenerator[_Turn]:
        """Wait while an equal request is in flight, then read its answer from the cache."""
        key = request_key(request, route.identity)
        while (waiting_calls := self._in_flight.get(key)) is not None:
            waiting_calls.append(end := anyio.Event())
            async with call.in_time(route):
                await end.wait()
        waiting = self._in_flight[key] = list[anyio.Event]()
        try:
            yield _Turn(key, None if call.fresh else await self._cache.read(key))
        finally:
            del self._in_flight[key]
            for end in waiting:
                end.set()

    async def _remember(
        self,
        key: Key,
        request: ModelRequest,
        call: Call,
        reservation: Reservation,
        answer: ModelAnswer,
    ) -> CacheEntry:
        value, problem = None, None
        with anyio.CancelScope(shield=True):  # the answer is paid for
            value, problem = await fit(answer, request)
        answer = settle(replace(answer, value=value), request, problem)
        entry = CacheEntry(answer, problem)
        # Even if this task is cancelled, the row is written.
        reservation.is_kept = True
        try:
            await self._cache.write(NewEntry(key, request.model, entry, call.asker))
        except DatabaseFailure:
            reservation.is_kept = False
            raise
        return entry
