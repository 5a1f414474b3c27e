"""Budgets: a call is reserved before it is sent, so that the limit is never passed."""

import math
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from kiln_mcp.llm.errors import BudgetSpent
from kiln_mcp.llm.journal.in_flight import OnTheWay
from kiln_mcp.llm.journal.spent import NOTHING, Spent

AWAITED_S: Final = 60.0
"""Seconds that calls on their way are waited for when a budget allows no more."""


class NotSent(Exception):
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


@dataclass(frozen=True, slots=True)
class Excess:
    """A call that took more than its request allowed: the server went beyond what it was asked to.

    Attributes:
        model: Who was asked.
        asked: What it could take at most.
        taken: The most that a call of the model took.
    """

    model: str
    asked: Spent
    taken: Spent


class Budget:
    """What one job may spend. A call counts as spent until its answer is in the journal.

    Attributes:
        name: The first part of the asker of every call under it, in the journal.
        limit: The most that may be spent.
        way: Where calls on their way are noted.
        spent: What is spent, calls on their way left out.
        lost: Of it, the calls that got no answer, at the most that they can have taken.
        withdrawn: The work orders that were withdrawn unanswered, which cost nothing.
        refusal: Why a call was refused; None where none was.
    """

    def __init__(
        self,
        name: str,
        limit: BudgetLimit,
        way: OnTheWay,
        past: Past | None = None,
        awaited_s: float = AWAITED_S,
    ) -> None:
        """Open a budget.

        Args:
            name: Who spends, as a path: `jobs/4711`.
            limit: The most that may be spent, what was spent before included.
            way: Where calls on their way are noted.
            past: What earlier attempts at the same work took; None where there were none.
            awaited_s: Seconds that calls on their way are awaited when the time is over.
        """
        past = past or Past()
        self.name = name
        self.limit = limit
        self.way = way
        self.spent = past.spent
        self.lost = past.lost
        self.withdrawn = 0
        self._awaited_s = awaited_s
        self._reserved = NOTHING
        self._started = time.monotonic() - past.seconds
        self.refusal: BudgetSpent | None = None
        self._over_at_s = limit.seconds
        self._over_for: BudgetSpent | None = None
        self._changed = anyio.Event()
        self._held = False
        self._is_wanted = False
        self._sent = NOTHING
        self._excesses: dict[str, Excess] = {}
        self._ends: dict[anyio.CancelScope, float] = {}

    async def hold(self) -> None:
        """Let no more calls be sent; return when one would be, and none is on its way any more.

        Those that wait for their turn are not on their way, and are not sent.
        """
        self._held = True
        while self._sent.calls or not (self._reserved.calls or self._is_wanted):
            await self._changed.wait()

    async def send(self, model: str, most: Spent) -> None:
        """Note that a call is sent now, and what it can take at most.

        Raises:
            NotSent: It must not be sent any more, or not with so little kept for it.
        """
        passes = self._passed(self.spent + self._sent + most, most) is not None
        if self._held or self._out_of_time() or passes or self._expected(model, most) != most:
            raise NotSent
        self._sent += most
        try:
            await self.way.begin(most)
        except BaseException:
            self._sent -= most
            self._has_changed()
            raise

    def arrive(self, most: Spent, lost: Spent) -> None:
        """Note that a call is not on its way any more.

        Args:
            most: What it could take.
            lost: What it took of which the journal knows nothing.
        """
        self._sent -= most
        self.way.end(most, lost)
        self._has_changed()

    def _has_changed(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def hold_back(self, model: str, asked: Spent) -> Spent:
        """Keep for a call what it can take; wait while calls on their way may still free it.

        Args:
            model: Whom it asks.
            asked: What it can take by its request.

        Returns:
            What is kept: more than that, where the model was seen to take more.

        Raises:
            BudgetSpent: It is not left.
        """
        await self._pass()
        while True:
            most = self._expected(model, asked)
            kind = self._missing(most)
            if kind is None:
                self._reserved += most
                return most
            if kind == "seconds":
                await self._arrivals()
            elif self._reserved.calls:
                await self._changed.wait()
                await self._pass()
                continue
            raise self._refused(kind, most)

    def _refused(self, kind: str, most: Spent) -> BudgetSpent:
        left, needed = self._left(kind, most), self._needed(kind, most)
        early = self._over_for if kind == "seconds" else None
        self.refusal = early or BudgetSpent(self.name, kind, left, needed)
        return self.refusal

    @asynccontextmanager
    async def in_time(self, *, withdraws: bool = False) -> AsyncGenerator[None]:
        """Give up what is not over some seconds after the end of the time.

        Args:
            withdraws: Whether it is given up at the end of the time already, for nothing is lost.

        Raises:
            BudgetSpent: It was given up.
        """
        awaited_s = 0.0 if withdraws else self._awaited_s
        with anyio.CancelScope(deadline=self._given_up_at(awaited_s)) as scope:
            self._ends[scope] = awaited_s
            try:
                yield
            finally:
                del self._ends[scope]
        if scope.cancelled_caught:
            await self._arrivals()
            raise self._refused("seconds", NOTHING)

    def _given_up_at(self, awaited_s: float) -> float:
        if self._over_at_s is None:
            return math.inf
        return anyio.current_time() + self._over_at_s - self._worked_s + awaited_s

    def learn(self, model: str, asked: Spent, taken: Spent) -> None:
        """Note what a call took, where that is more than it was asked to."""
        if not asked.covers(taken):
            known = self._excesses.get(model)
            if known is None or not known.taken.covers(taken):
                most = taken if known is None else taken.or_more(known.taken)
                self._excesses[model] = Excess(model, asked, most)

    def keep_more(self, more: Spent) -> None:
        """Keep so much more for a call that is on its way, because it took that."""
        self._reserved += more
        self._sent += more
        self.way.grow(more)

    def _expected(self, model: str, asked: Spent) -> Spent:
        """Return what a call can take, by its request and by what its model was seen to take."""
        excess = self._excesses.get(model)
        return asked if excess is None else asked.or_more(excess.taken)

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
        with anyio.CancelScope(deadline=self._given_up_at(self._awaited_s)):
            while self._sent.calls:
                await self._changed.wait()

    def _missing(self, most: Spent) -> str | None:
        """Return the kind of limit that a call would pass, or None where it fits."""
        if self._out_of_time():
            return "seconds"
        return self._passed(self.spent + self._reserved + most, most)

    def _passed(self, after: Spent, most: Spent) -> str | None:
        """Return the kind of limit that a call passes, where so much is spent after it."""
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
        for scope, awaited_s in self._ends.items():
            scope.deadline = self._given_up_at(awaited_s)
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
        if kind == "seconds":  # what is still on its way is given up
            over = f"the {round(self.limit.seconds or 0.0, 1):g} s are over"
            awaited = f"and calls on their way were awaited{said_of_withdrawn(self.withdrawn)}"
            return f"{over}, {awaited}{said_of_lost(self.lost + self._sent)}"
        excess = "".join(said_of_excess(excess) for excess in self._excesses.values())
        return self._left_of(kind, most) + excess + said_of_lost(self.lost)

    def _left_of(self, kind: str, most: Spent) -> str:
        spent, limit = self.spent, self.limit
        match kind:
            case "cost_usd":
                is_spent = f"${spent.cost_usd:.4f} of ${limit.cost_usd or 0:.4f} is spent"
                return f"{is_spent}, and the next call may take up to ${most.cost_usd:.4f}"
            case "tokens":
                are_spent = f"{spent.tokens} of {limit.tokens} tokens are spent"
                return f"{are_spent}, and the next call may take up to {most.tokens}"
            case _:
                return f"{spent.calls} of {limit.calls} calls are made"

    def _out_of_time(self) -> bool:
        return self._over_at_s is not None and self._worked_s >= self._over_at_s


def said_of_withdrawn(orders: int) -> str:
    """Return what is to be said of work orders that were withdrawn, as the end of a sentence."""
    if not orders:
        return ""
    which = "1 work order that was" if orders == 1 else f"{orders} work orders that were"
    return f"; {which} not answered cost nothing and can be asked again"


def said_of_excess(excess: Excess) -> str:
    """Return what is to be said of a server that takes too much, as the end of a sentence."""
    return (
        f"; the server of {excess.model!r} took more than it was asked to: "
        f"{excess.taken.tokens:,} tokens in a call that could take {excess.asked.tokens:,} at most"
    )


def said_of_lost(lost: Spent) -> str:
    """Return what is to be said of calls that got no answer, as the end of a sentence."""
    match lost.calls:
        case 0:
            return ""
        case 1:
            return "; 1 call got no answer and counts as spent"
        case calls:
            return f"; {calls} calls got no answer and count as spent"
