"""One request, asked once: remembered by the journal, or sent within its budget."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace

import anyio

from kiln_mcp.llm.budget.budget import Budget
from kiln_mcp.llm.budget.reservation import Reservation, hold_reservation, maximum_expense
from kiln_mcp.llm.budget.wait_policy import WaitPolicy
from kiln_mcp.llm.deltas import Delta, deltas_of
from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.llm.journal.journal import Journal, JournalEntry, Key, Writing, request_key
from kiln_mcp.llm.messages import ModelAnswer, ModelRequest
from kiln_mcp.llm.retries import Route, Sender
from kiln_mcp.llm.schemas import check_usable, fit


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, and how.

    Attributes:
        asker: Who, as a path.
        fresh: Whether the model is asked also where the journal has an answer.
        budget: What may be spent; None for no limit.
        patience: How long it waits, and who hears of it.
    """

    asker: str
    fresh: bool
    budget: Budget | None
    wait_policy: WaitPolicy

    @property
    def own(self) -> str | None:
        """The beginning of the askers of the job that it belongs to; None for no job."""
        return None if self.budget is None else f"{self.budget.name}/"

    def reserve(
        self, request: ModelRequest, route: Route
    ) -> AbstractAsyncContextManager[Reservation]:
        """Hold what the call can take at most, where it has a budget."""
        if self.budget is None:
            return nullcontext(Reservation())
        maximum = maximum_expense(request, route.price)
        return hold_reservation(
            Reservation(self.budget, request.model, maximum, withdraws=route.withdraws)
        )

    def in_time(self, route: Route) -> AbstractAsyncContextManager[None]:
        """Give up what is not over when the time of its budget is."""
        if self.budget is None:
            return nullcontext()
        return self.budget.in_time(withdraws=route.withdraws)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A question's key in the journal, and its answer where it was answered before."""

    key: Key
    entry: JournalEntry | None = None


class Asking:
    """Answers requests, the same one at the same time once."""

    def __init__(self, journal: Journal, sender: Sender) -> None:
        self._journal = journal
        self._sender = sender
        self._asking: dict[Key, anyio.Event] = {}

    async def ask(self, route: Route, request: ModelRequest, call: Call) -> JournalEntry:
        """Return the answer to a request, remembered or new.

        Raises:
            ModelError: One of its kinds.
            BudgetSpent: The budget does not allow it.
        """
        async with self._turn(request, route, call) as turn:
            if turn.entry is not None:
                return turn.entry
            await check_usable(request)
            async with call.in_time(route), call.reserve(request, route) as reservation:
                answer = await self._sender.send(route, request, reservation, call.wait_policy)
                return await self._remember(turn.key, request, call, answer, reservation)

    async def stream(
        self, route: Route, request: ModelRequest, call: Call
    ) -> AsyncGenerator[Delta | JournalEntry]:
        """Yield an answer's deltas, then its entry in the journal; raises as `ask` does."""
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
                    self._sender.stream(route, request, reservation, call.wait_policy)
                ) as parts,
            ):
                async for part in parts:
                    if isinstance(part, ModelAnswer):
                        yield await self._remember(turn.key, request, call, part, reservation)
                    else:
                        yield part

    @asynccontextmanager
    async def _turn(self, request: ModelRequest, route: Route, call: Call) -> AsyncGenerator[_Turn]:
        """Wait while the same question is on its way, then read its answer, or ask it."""
        key = request_key(request, route.identity)
        while (other := self._asking.get(key)) is not None:
            async with call.in_time(route):
                await other.wait()
        done = self._asking[key] = anyio.Event()
        try:
            yield _Turn(key, None if call.fresh else await self._journal.read(key))
        finally:
            del self._asking[key]
            done.set()

    async def _remember(
        self,
        key: Key,
        request: ModelRequest,
        call: Call,
        answer: ModelAnswer,
        reservation: Reservation,
    ) -> JournalEntry:
        value, problem = None, None
        with anyio.CancelScope(shield=True):  # the answer is paid for
            value, problem = await fit(answer, request)
        entry = JournalEntry(replace(answer, value=value), problem)
        # Also where this is cancelled: the row is written all the same.
        reservation.is_journalled = True
        try:
            await self._journal.write(Writing(key, request.model, entry, call.asker))
        except DatabaseFailure:
            reservation.is_journalled = False
            raise
        return entry
