"""Budgets: a call is reserved before it is sent, so that the limit is never passed."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from kiln_mcp.llm.errors import BudgetSpent
from kiln_mcp.llm.messages import ModelRequest, Usage
from kiln_mcp.llm.on_the_way import OnTheWay
from kiln_mcp.llm.prices import Price
from kiln_mcp.llm.spent import Spent

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


class Budget:
    """What one job may spend. A call counts as spent until its answer is in the journal.

    Attributes:
        name: The first part of the asker of every call under it, in the journal.
        limit: The most that may be spent.
        spent: What is spent, calls on their way left out.
        refusal: Why a call was refused; None where none was.
    """

    def __init__(
        self,
        name: str,
        limit: BudgetLimit,
        way: OnTheWay,
        spent: Spent | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Open a budget.

        Args:
            name: Who spends, as a path: `jobs/4711`.
            limit: The most that may be spent, what was spent before included.
            way: Where calls on their way are noted.
            spent: What was spent before, in an earlier run of the same job.
            seconds: How long was worked before.
        """
        self.name = name
        self.limit = limit
        self._way = way
        self.spent = spent or Spent()
        self._reserved = Spent()
        self._started = time.monotonic() - seconds
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
        await self._pass()
        most = most_it_can_take(request, price)
        while (kind := self._missing(most)) is not None:
            if self._reserved.calls == 0 or self._out_of_time():
                self.refusal = BudgetSpent(self.name, kind, self._left(kind, most))
                raise self.refusal
            await self._settled.wait()
            await self._pass()
        self._reserved += most
        reservation = Reservation(most, self._way)
        try:
            yield reservation
        except Exception:  # it failed, so it cost nothing but what it had written
            reservation.end(Spent())
            raise
        except BaseException:  # it was given up
            reservation.end(most)
            raise
        else:
            reservation.end(Spent())
        finally:
            self._reserved -= most
            self.spent += reservation.taken
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

    def _left(self, kind: str, most: Spent) -> str:
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
        return seconds is not None and time.monotonic() - self._started >= seconds


class Reservation:
    """A call, under a budget or under none.

    Attributes:
        usage: Set when it has been paid for.
        journalled: Set when the journal knows of that.
        taken: What counts as spent, at its end.
    """

    def __init__(self, most: Spent, way: OnTheWay | None) -> None:
        self._most = most
        self._way = way
        self._sent = False
        self.usage = Usage(calls=0)
        self.journalled = False
        self.taken = Spent()

    async def begin(self) -> None:
        """Note that it is sent now: if this process is killed, it counts as spent."""
        if self._way is not None and not self._sent:
            await self._way.begin(self._most)
            self._sent = True

    def end(self, unheard: Spent) -> None:
        """Settle it.

        Args:
            unheard: What it counts for where it was sent and nothing was heard of it.
        """
        if self.usage.calls:
            self.taken = Spent.of(self.usage)
        elif self._sent:
            self.taken = unheard
        if self._way is not None and self._sent:
            self._way.end(self._most, lost=Spent() if self.journalled else self.taken)
