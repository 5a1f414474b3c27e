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
AWAITED_S: Final = 60.0
"""Seconds that calls on their way are waited for when a budget allows no more."""


class NotSent(Exception):  # noqa: N818 - no error: the call is to be held again
    """A call came to its turn when no more calls are to be sent."""


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
        self._over_at_s = limit.seconds
        self._over_for: BudgetSpent | None = None
        self._changed = anyio.Event()
        self._held = False
        self._is_wanted = False
        self._sent_calls = 0

    async def hold(self) -> None:
        """Let no more calls be sent; return when one would be, and none is on its way any more.

        Those that wait for their turn are not on their way, and are not sent.
        """
        self._held = True
        while self._sent_calls or not (self._reserved.calls or self._is_wanted):
            await self._changed.wait()

    async def send(self, most: Spent) -> None:
        """Note that a call is sent now, and what it can take at most.

        Raises:
            NotSent: It must not be sent any more.
        """
        if self._held or self._out_of_time():
            raise NotSent
        self._sent_calls += 1
        try:
            await self.way.begin(most)
        except BaseException:
            self._sent_calls -= 1
            self._has_changed()
            raise

    def arrive(self, most: Spent, lost: Spent) -> None:
        """Note that a call is not on its way any more.

        Args:
            most: What it could take.
            lost: What it took of which the journal knows nothing.
        """
        self._sent_calls -= 1
        self.way.end(most, lost)
        self._has_changed()

    def _has_changed(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

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
            if kind == "seconds":
                await self._arrivals()
            elif self._reserved.calls:
                await self._changed.wait()
                await self._pass()
                continue
            left, needed = self._left(kind, most), self._needed(kind, most)
            early = self._over_for if kind == "seconds" else None
            self.refusal = early or BudgetSpent(self.name, kind, left, needed)
            raise self.refusal
        self._reserved += most

    def settle(self, most: Spent, taken: Spent, lost: Spent) -> None:
        """Count what a call took, and free the rest of what was kept for it."""
        self._reserved -= most
        self.spent += taken
        self.lost += lost
        self._has_changed()

    async def _pass(self) -> None:
        """Wait for ever where calls are held."""
        if self._held:
            self._is_wanted = True
            self._has_changed()
            await anyio.sleep_forever()

    async def _arrivals(self) -> None:
        """Wait for the calls that were sent before the time was over, for a while."""
        left_s = (self._over_at_s or 0.0) + AWAITED_S - self._worked_s
        with anyio.move_on_after(max(0.0, left_s)):
            while self._sent_calls:
                await self._changed.wait()

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

    async def check_time(self, seconds: float, reason: str) -> None:
        """Refuse to wait so long where the time that is left ends before.

        Then no more calls are sent, and those on their way are awaited first.

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
        self._over_at_s = min(self._over_at_s or 0.0, self._worked_s)
        self._over_for = BudgetSpent(self.name, "seconds", f"{reason}, and {time_left}", needed)
        await self._arrivals()
        self.refusal = self._over_for
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
                over = f"the {round(limit.seconds or 0.0, 1):g} s are over"
                awaited = "and calls on their way were awaited"
                return f"{over}, {awaited}{said_of_silent(self._sent_calls)}"

    def _out_of_time(self) -> bool:
        return self._over_at_s is not None and self._worked_s >= self._over_at_s


def said_of_silent(calls: int) -> str:
    """Return what is to be said of calls that are given up, as the end of a sentence."""
    if not calls:
        return ""
    which = "1 of them was" if calls == 1 else f"{calls} of them were"
    return f"; {which} not answered within {AWAITED_S:.0f} s more"


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
        """Note that it is sent now: if this process is killed, it counts as spent.

        Raises:
            NotSent: It must not be sent any more; `hold_again` says what becomes of it.
        """
        if self._budget is not None and not self._sent:
            await self._budget.send(self._most)
            self._sent = True

    async def hold_again(self) -> None:
        """Give back what is held for a call that was not sent, and hold it once more.

        Raises:
            BudgetSpent: It is not left.
        """
        self._end(NOTHING)
        await self.hold()

    def come_back(self) -> None:
        """Note that it was refused, so that it is on its way no more until it is sent again."""
        if self._budget is not None and self._sent:
            self._budget.arrive(self._most, NOTHING)
            self._sent = False

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
            self._budget.arrive(self._most, lost)
        self._budget.settle(self._most, taken, lost)
        self._holds = self._sent = False
