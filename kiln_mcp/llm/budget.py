"""Budgets: a call is reserved before it is sent, so that the limit is never passed."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from kiln_mcp.llm.errors import BudgetSpent, ModelError
from kiln_mcp.llm.messages import ModelRequest, Usage
from kiln_mcp.llm.on_the_way import OnTheWay
from kiln_mcp.llm.prices import Price
from kiln_mcp.llm.spent import NOTHING, Spent

TOKENS_PER_MESSAGE: Final = 16
"""An upper bound of what a chat template adds to a message."""


@dataclass(frozen=True, slots=True)
class BudgetLimit:
    """The most that may be spent; None for no limit.

    Attributes:
        cost_usd: US dollars. Calls to models without a known price are not held by it: they are
            counted, and said.
        tokens: Tokens read and written.
        calls: Calls sent to models.
        seconds: Seconds of work, all attempts together.
    """

    cost_usd: float | None = None
    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None


def most_it_can_take(request: ModelRequest, price: Price | None) -> Spent:
    """Return an upper bound of what a call takes: a token is at least one byte of its text."""
    text = sum(len(message.content.encode()) + TOKENS_PER_MESSAGE for message in request.messages)
    extra = len(str(request.schema or "")) + sum(len(str(tool)) for tool in request.tools)
    read = text + extra + TOKENS_PER_MESSAGE
    cost = 0.0 if price is None else price.cost_usd(read, request.max_tokens)
    return Spent(cost, read + request.max_tokens, 1, 1 if price is None else 0)


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier attempts at the same work took.

    Attributes:
        spent: What they spent, in all.
        lost: Of it, the calls that got no answer.
        seconds: How long they worked.
    """

    spent: Spent = NOTHING
    lost: Spent = NOTHING
    seconds: float = 0.0


class Budget:
    """What one job may spend. A call counts as spent until its answer is in the journal.

    Attributes:
        name: The first part of the asker of every call under it, in the journal.
        limit: The most that may be spent.
        way: Where calls on their way are noted.
        spent: What is spent, calls on their way left out.
        lost: Of it, the calls that got no answer, at the most that they can have taken.
        refusal: Why a call was refused; None where none was.
    """

    def __init__(
        self, name: str, limit: BudgetLimit, way: OnTheWay, past: Past | None = None
    ) -> None:
        """Open a budget.

        Args:
            name: Who spends, as a path: `jobs/4711`.
            limit: The most that may be spent, what was spent before included.
            way: Where calls on their way are noted.
            past: What earlier attempts at the same work took; None where there were none.
        """
        past = past or Past()
        self.name = name
        self.limit = limit
        self.way = way
        self.spent = past.spent
        self.lost = past.lost
        self._reserved = NOTHING
        self._started = time.monotonic() - past.seconds
        self.refusal: BudgetSpent | None = None
        self._settled = anyio.Event()
        self._held = False
        self._wanted = anyio.Event()

    async def hold(self) -> None:
        """Let no more calls pass; return when one would, and none is on its way any more."""
        self._held = True
        await self._wanted.wait()
        while self._reserved.calls:
            await self._settled.wait()

    @asynccontextmanager
    async def reserve(
        self, request: ModelRequest, price: Price | None
    ) -> AsyncGenerator["Reservation"]:
        """Hold what a call can take at most; wait while calls on their way may still free it.

        Raises:
            BudgetSpent: The call does not fit into what is left.
        """
        reservation = Reservation(most_it_can_take(request, price), self)
        await reservation.hold()
        try:
            yield reservation
        except BaseException as error:
            reservation.settle(error)
            raise
        else:
            reservation.settle(None)

    async def hold_back(self, most: Spent) -> None:
        """Keep so much for a call; wait while calls on their way may still free it.

        Raises:
            BudgetSpent: It is not left.
        """
        await self._pass()
        while (kind := self._missing(most)) is not None:
            if self._reserved.calls == 0 or self._out_of_time():
                left, needed = self._left(kind, most), self._needed(kind, most)
                self.refusal = BudgetSpent(self.name, kind, left, needed)
                raise self.refusal
            await self._settled.wait()
            await self._pass()
        self._reserved += most

    def settle(self, most: Spent, taken: Spent, lost: Spent) -> None:
        """Count what a call took, and free the rest of what was kept for it."""
        self._reserved -= most
        self.spent += taken
        self.lost += lost
        self._settled.set()
        self._settled = anyio.Event()

    async def _pass(self) -> None:
        """Wait for ever where calls are held."""
        if self._held:
            self._wanted.set()
            await anyio.sleep_forever()

    def _missing(self, most: Spent) -> str | None:
        """Return the kind of limit that a call would pass, or None where it fits."""
        if self._out_of_time():
            return "seconds"
        after = self.spent + self._reserved + most
        limit = self.limit
        checks: tuple[tuple[str, float | None, float], ...] = (
            ("cost_usd", limit.cost_usd if most.cost_usd else None, after.cost_usd),
            ("tokens", limit.tokens, after.tokens),
            ("calls", limit.calls, after.calls),
        )
        for kind, allowed, wanted in checks:
            if allowed is not None and wanted > allowed + 1e-12:
                return kind
        return None

    def check_time(self, seconds: float, reason: str) -> None:
        """Refuse to wait so long where the time that is left ends before.

        Args:
            seconds: How long.
            reason: What for, as the beginning of a sentence.

        Raises:
            BudgetSpent: It does; every other call would wait as well.
        """
        limit = self.limit.seconds
        if limit is None or (left := limit - self._worked_s) > seconds:
            return
        time_left = f"{max(0.0, left):.0f} of its {limit:.0f} s are left"
        needed = self._worked_s + seconds
        self.refusal = BudgetSpent(self.name, "seconds", f"{reason}, and {time_left}", needed)
        raise self.refusal

    @property
    def _worked_s(self) -> float:
        return time.monotonic() - self._started

    def _needed(self, kind: str, most: Spent) -> float:
        if kind == "seconds":
            return self._worked_s
        after = self.spent + most
        return {"cost_usd": after.cost_usd, "tokens": after.tokens}.get(kind, after.calls)

    def _left(self, kind: str, most: Spent) -> str:
        return self._left_of(kind, most) + said_of_lost(self.lost)

    def _left_of(self, kind: str, most: Spent) -> str:
        spent, limit = self.spent, self.limit
        match kind:
            case "cost_usd":
                is_spent = f"${spent.cost_usd:.4f} of ${limit.cost_usd or 0:.4f} is spent"
                return f"{is_spent}, and the next call may take up to ${most.cost_usd:.4f}"
            case "tokens":
                are_spent = f"{spent.tokens} of {limit.tokens} tokens are spent"
                return f"{are_spent}, and the next call may take up to {most.tokens}"
            case "calls":
                return f"{spent.calls} of {limit.calls} calls are made"
            case _:
                return f"the {limit.seconds or 0:.0f} s are over"

    def _out_of_time(self) -> bool:
        seconds = self.limit.seconds
        return seconds is not None and self._worked_s >= seconds


def said_of_lost(lost: Spent) -> str:
    """Return what is to be said of calls that got no answer, as the end of a sentence."""
    match lost.calls:
        case 0:
            return ""
        case 1:
            return "; 1 call got no answer and counts as spent"
        case calls:
            return f"; {calls} calls got no answer and count as spent"


class Reservation:
    """A call, under a budget or under none.

    Attributes:
        usage: Set when it has been paid for.
        journalled: Set when the journal knows of that.
    """

    def __init__(self, most: Spent = NOTHING, budget: Budget | None = None) -> None:
        """Set up, without holding anything yet.

        Args:
            most: What the call can take at most.
            budget: What it is held by; None for nothing.
        """
        self.usage = Usage(calls=0)
        self.journalled = False
        self._most = most
        self._budget = budget
        self._holds = False
        self._sent = False

    async def hold(self) -> None:
        """Hold what the call can take at most, where that is not held.

        Raises:
            BudgetSpent: It is not left.
        """
        if self._budget is not None and not self._holds:
            await self._budget.hold_back(self._most)
            self._holds = True

    async def begin(self) -> None:
        """Note that it is sent now: if this process is killed, it counts as spent."""
        if self._budget is not None and not self._sent:
            await self._budget.way.begin(self._most)
            self._sent = True

    def lose(self) -> None:
        """Count what was sent as spent, at its most: it got no answer, and may have to be paid.

        To be sent again, it must be held again.
        """
        self._end(self._most)

    def settle(self, failure: BaseException | None) -> None:
        """Count what it took in the end.

        Args:
            failure: What kept it from its answer; None where nothing did.
        """
        if isinstance(failure, ModelError) and failure.unanswered:
            self._end(self._most)
        elif self.usage.calls:
            self._end(Spent.of(self.usage))
        elif failure is None or isinstance(failure, Exception):
            self._end(NOTHING)  # it was refused, so it cost nothing
        else:
            self._end(self._most)  # it was given up

    def _end(self, taken: Spent) -> None:
        if self._budget is None or not self._holds:
            return
        taken = taken if self._sent else NOTHING
        lost = NOTHING if self.journalled else taken
        if self._sent:
            self._budget.way.end(self._most, lost=lost)
        self._budget.settle(self._most, taken, lost)
        self._holds = self._sent = False
