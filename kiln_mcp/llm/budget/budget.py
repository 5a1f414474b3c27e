"""Budgets: each call is reserved before it is sent, so that no limit is ever passed."""

import math
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from kiln_mcp.llm.errors import BudgetSpent
from kiln_mcp.llm.response_cache.expense import NOTHING, Expense
from kiln_mcp.llm.response_cache.in_flight import InFlightCalls

AWAITED_S: Final = 60.0
"""Seconds that in-flight calls are awaited when a budget allows no more."""


class NotSent(Exception):
    """The call must not be sent now. Its reservation is repeated."""


@dataclass(frozen=True, slots=True)
class BudgetLimit:
    """The most that may be spent; None for no limit.

    Attributes:
        cost_usd: US dollars. Calls to models without a known price do not count against it; their
            number is reported.
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
    """What earlier attempts at the same job took.

    Attributes:
        expense: What they spent, in all.
        losses: Of it, the calls that got no answer.
        seconds: How long they worked.
    """

    expense: Expense = NOTHING
    losses: Expense = NOTHING
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Excess:
    """A call that took more than its request allowed.

    Attributes:
        model: The model that was asked.
        maximum: What the call could take by its request.
        actual: The most that a call of the model took.
    """

    model: str
    maximum: Expense
    actual: Expense


class Budget:
    """What one job may spend, and what it has spent.

    Attributes:
        name: The first part of the asker of every call under it, in the response cache.
        limit: The most that may be spent.
        in_flight_calls: The record of in-flight calls.
        expense: What is spent, without in-flight calls.
        losses: The part of it for calls that got no answer, at their maximum.
        withdrawn: How many work orders were withdrawn unanswered; they cost nothing.
        refusal: Why a call was refused; None if none was.
    """

    def __init__(
        self,
        name: str,
        limit: BudgetLimit,
        in_flight_calls: InFlightCalls,
        past: Past | None = None,
        awaited_s: float = AWAITED_S,
    ) -> None:
        """Open a budget.

        Args:
            name: Who spends, as a path: `jobs/4711`.
            limit: The most that may be spent, earlier attempts included.
            in_flight_calls: The record of in-flight calls.
            past: What earlier attempts at the same job took; None for the first attempt.
            awaited_s: Seconds that in-flight calls are awaited when the time is over.
        """
        past = past or Past()
        self.name = name
        self.limit = limit
        self.in_flight_calls = in_flight_calls
        self.expense = past.expense
        self.losses = past.losses
        self.withdrawn = 0
        self._awaited_s = awaited_s
        self._reservations = NOTHING
        self._started = time.monotonic() - past.seconds
        self.refusal: BudgetSpent | None = None
        self._over_at_s = limit.seconds
        self._over_for: BudgetSpent | None = None
        self._change: anyio.Event | None = None
        self._is_held = False
        self._is_wanted = False
        self._in_flight = NOTHING
        self._excesses: dict[str, Excess] = {}
        self._ends: dict[anyio.CancelScope, float] = {}

    async def hold(self) -> None:
        """Stop sending calls; return when one waits to be sent and none is in flight.

        Calls that wait for their turn are not sent.
        """
        self._is_held = True
        while self._in_flight.calls or not (self._reservations.calls or self._is_wanted):
            await self._next_change()

    async def send(self, model: str, maximum: Expense) -> None:
        """Record that a call is sent now, with its reservation.

        Args:
            model: The model that is asked.
            maximum: The call's reservation.

        Raises:
            NotSent: It must not be sent now, or its reservation is too small.
        """
        passes = self._passed(self.expense + self._in_flight + maximum, maximum) is not None
        if (
            self._is_held
            or self._out_of_time()
            or passes
            or self._expected(model, maximum) != maximum
        ):
            raise NotSent
        self._in_flight += maximum
        try:
            await self.in_flight_calls.begin(maximum)
        except BaseException:
            self._in_flight -= maximum
            self._has_changed()
            raise

    def arrive(self, maximum: Expense, loss: Expense) -> None:
        """Record that a call is no longer in flight.

        Args:
            maximum: Its reservation.
            loss: What it took that the response cache does not hold.
        """
        self._in_flight -= maximum
        self.in_flight_calls.end(maximum, loss)
        self._has_changed()

    def _has_changed(self) -> None:
        if self._change is not None:
            self._change.set()
            self._change = None

    async def _next_change(self) -> None:
        if self._change is None:
            self._change = anyio.Event()
        await self._change.wait()

    async def reserve(self, model: str, estimate: Expense) -> Expense:
        """Reserve what a call can take; wait while in-flight calls may still free it.

        Args:
            model: The model that is asked.
            estimate: What the call can take by its request.

        Returns:
            The reservation: more than the estimate if a call of the model took more before.

        Raises:
            BudgetSpent: The rest of the budget is too small.
        """
        await self.pause_point()
        while True:
            maximum = self._expected(model, estimate)
            kind = self._missing(maximum)
            if kind is None:
                self._reservations += maximum
                return maximum
            if kind == "seconds":
                await self._arrivals()
            elif self._reservations.calls:
                await self._next_change()
                await self.pause_point()
                continue
            raise self._refused(kind, maximum)

    def _refused(self, kind: str, maximum: Expense) -> BudgetSpent:
        balance, minimum = self._reason(kind, maximum), self._limit_for(kind, maximum)
        early = self._over_for if kind == "seconds" else None
        self.refusal = early or BudgetSpent(self.name, kind, balance, minimum)
        return self.refusal

    @asynccontextmanager
    async def in_time(self, *, withdraws: bool = False) -> AsyncGenerator[None]:
        """Cancel the body some seconds after the end of the budget's time.

        Args:
            withdraws: Whether to cancel at the end of the time already, because nothing is lost.

        Raises:
            BudgetSpent: The body was cancelled.
        """
        awaited_s = 0.0 if withdraws else self._awaited_s
        with anyio.CancelScope(deadline=self._deadline(awaited_s)) as scope:
            self._ends[scope] = awaited_s
            try:
                yield
            finally:
                del self._ends[scope]
        if scope.cancelled_caught:
            await self._arrivals()
            raise self._refused("seconds", NOTHING)

    def _deadline(self, awaited_s: float) -> float:
        if self._over_at_s is None:
            return math.inf
        return anyio.current_time() + self._over_at_s - self._worked_s + awaited_s

    def learn(self, model: str, estimate: Expense, actual: Expense) -> None:
        """Remember what a call took if it is more than its request allowed."""
        if not estimate.covers(actual):
            excess = self._excesses.get(model)
            if excess is None or not excess.actual.covers(actual):
                highest = actual if excess is None else actual.or_more(excess.actual)
                self._excesses[model] = Excess(model, estimate, highest)

    def raise_reservation(self, extra: Expense) -> None:
        """Raise the reservation of an in-flight call that took more."""
        self._reservations += extra
        self._in_flight += extra
        self.in_flight_calls.grow(extra)

    def _expected(self, model: str, estimate: Expense) -> Expense:
        """Return what a call can take by its request and by earlier calls of its model."""
        excess = self._excesses.get(model)
        return estimate if excess is None else estimate.or_more(excess.actual)

    def settle(self, maximum: Expense, actual: Expense, loss: Expense) -> None:
        """Count what a call took, and free the rest of its reservation."""
        self._reservations -= maximum
        self.expense += actual
        self.losses += loss
        self._has_changed()

    async def pause_point(self) -> None:
        """Wait for ever if the budget holds its calls: its job is to pause."""
        if self._is_held:
            self._is_wanted = True
            self._has_changed()
            await anyio.sleep_forever()

    async def _arrivals(self) -> None:
        """Wait some seconds for the calls that are in flight."""
        with anyio.CancelScope(deadline=self._deadline(self._awaited_s)):
            while self._in_flight.calls:
                await self._next_change()

    def _missing(self, maximum: Expense) -> str | None:
        """Return the kind of limit that a call would pass; None if it fits."""
        if self._out_of_time():
            return "seconds"
        return self._passed(self.expense + self._reservations + maximum, maximum)

    def _passed(self, after: Expense, maximum: Expense) -> str | None:
        """Return the kind of limit that is passed after a call; None if none is."""
        limit = self.limit
        checks: tuple[tuple[str, float | None, float], ...] = (
            ("cost_usd", limit.cost_usd if maximum.cost_usd else None, after.cost_usd),
            ("tokens", limit.tokens, after.tokens),
            ("calls", limit.calls, after.calls),
        )
        for kind, ceiling, amount in checks:
            if ceiling is not None and amount > ceiling + 1e-12:
                return kind
        return None

    async def check_time(self, seconds: float, reason: str) -> None:
        """Refuse a wait that is longer than the rest of the budget's time.

        After a refusal no more calls are sent. In-flight calls are awaited first.

        Args:
            seconds: How long the wait would be.
            reason: Why to wait, as the beginning of a sentence.

        Raises:
            BudgetSpent: The time ends before; every other call would wait as well.
        """
        limit = self.limit.seconds
        if limit is None or (remaining_s := limit - self._worked_s) > seconds:
            return
        time_left = f"{max(0.0, remaining_s):.0f} of its {limit:.0f} s are left"
        minimum = self._worked_s + seconds
        self._over_at_s = min(self._over_at_s or 0.0, self._worked_s)
        for scope, awaited_s in self._ends.items():
            scope.deadline = self._deadline(awaited_s)
        self._over_for = BudgetSpent(self.name, "seconds", f"{reason}, and {time_left}", minimum)
        await self._arrivals()
        self.refusal = self._over_for
        raise self.refusal

    @property
    def _worked_s(self) -> float:
        return time.monotonic() - self._started

    def _limit_for(self, kind: str, maximum: Expense) -> float:
        if kind == "seconds":
            return self._worked_s
        after = self.expense + maximum
        return {"cost_usd": after.cost_usd, "tokens": after.tokens}.get(kind, after.calls)

    def _reason(self, kind: str, maximum: Expense) -> str:
        if kind == "seconds":  # in-flight calls are given up
            over = f"the {round(self.limit.seconds or 0.0, 1):g} s are over"
            ending = f"and in-flight calls were awaited{withdrawal_note(self.withdrawn)}"
            return f"{over}, {ending}{loss_note(self.losses + self._in_flight)}"
        excess = "".join(excess_note(excess) for excess in self._excesses.values())
        return self._balance(kind, maximum) + excess + loss_note(self.losses)

    def _balance(self, kind: str, maximum: Expense) -> str:
        expense, limit = self.expense, self.limit
        match kind:
            case "cost_usd":
                is_spent = f"${expense.cost_usd:.4f} of ${limit.cost_usd or 0:.4f} is spent"
                return f"{is_spent}, and the next call may take up to ${maximum.cost_usd:.4f}"
            case "tokens":
                are_spent = f"{expense.tokens} of {limit.tokens} tokens are spent"
                return f"{are_spent}, and the next call may take up to {maximum.tokens}"
            case _:
                return f"{expense.calls} of {limit.calls} calls are made"

    def _out_of_time(self) -> bool:
        return self._over_at_s is not None and self._worked_s >= self._over_at_s


def withdrawal_note(orders: int) -> str:
    """Return a note on withdrawn work orders, as the end of a sentence."""
    if not orders:
        return ""
    which = "1 work order that was" if orders == 1 else f"{orders} work orders that were"
    return f"; {which} not answered cost nothing and can be asked again"


def excess_note(excess: Excess) -> str:
    """Return a note on a server that takes too much, as the end of a sentence."""
    return (
        f"; the server of {excess.model!r} took more than it was asked to: "
        f"{excess.actual.tokens:,} tokens in a call that could take "
        f"{excess.maximum.tokens:,} at most"
    )


def loss_note(loss: Expense) -> str:
    """Return a note on calls that got no answer, as the end of a sentence."""
    match loss.calls:
        case 0:
            return ""
        case 1:
            return "; 1 call got no answer and counts as spent"
        case calls:
            return f"; {calls} calls got no answer and count as spent"
