"""Budgets: a call is reserved before it is sent, so that the limit is never passed."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from kiln_mcp.llm.errors import BudgetSpent
from kiln_mcp.llm.messages import ModelRequest, Usage
from kiln_mcp.llm.prices import Price

TOKENS_PER_MESSAGE: Final = 16
"""An upper bound of what a chat template adds to a message."""
LAST_WORDS_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class BudgetLimit:
    """The most that may be spent; None for no limit.

    Attributes:
        cost_usd: US dollars. Calls to models without a known price are not held by it: they are
            counted, and said.
        tokens: Tokens read and written.
        calls: Calls sent to models.
        seconds: Wall time since the budget was opened.
    """

    cost_usd: float | None = None
    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What is spent, or reserved for calls on their way."""

    cost_usd: float = 0.0
    tokens: int = 0
    calls: int = 0
    unpriced_calls: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.cost_usd + other.cost_usd,
            self.tokens + other.tokens,
            self.calls + other.calls,
            self.unpriced_calls + other.unpriced_calls,
        )

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(
            self.cost_usd - other.cost_usd,
            self.tokens - other.tokens,
            self.calls - other.calls,
            self.unpriced_calls - other.unpriced_calls,
        )

    @classmethod
    def of(cls, usage: Usage) -> "Spent":
        """Return what an answer took."""
        return cls(
            cost_usd=usage.cost_usd or 0.0,
            tokens=usage.input_tokens + usage.output_tokens,
            calls=usage.calls,
            unpriced_calls=usage.calls if usage.cost_usd is None else 0,
        )


def most_it_can_take(request: ModelRequest, price: Price | None) -> Spent:
    """Return an upper bound of what a call takes: a token is at least one byte of its text."""
    text = sum(len(message.content.encode()) + TOKENS_PER_MESSAGE for message in request.messages)
    extra = len(str(request.schema or "")) + sum(len(str(tool)) for tool in request.tools)
    read = text + extra + TOKENS_PER_MESSAGE
    cost = 0.0 if price is None else price.cost_usd(read, request.max_tokens)
    return Spent(cost, read + request.max_tokens, 1, 1 if price is None else 0)


class Budget:
    """What one job may spend. Reservations are counted as spent until the answer is there.

    Attributes:
        name: The first part of the asker of every call under it, in the journal.
        limit: The most that may be spent.
        spent: What is spent, calls on their way left out.
    """

    def __init__(self, name: str, limit: BudgetLimit, spent: Spent | None = None) -> None:
        """Open a budget.

        Args:
            name: Who spends, as a path: `jobs/4711`.
            limit: The most that may be spent, what was spent before included.
            spent: What was spent before, in an earlier run of the same job.
        """
        self.name = name
        self.limit = limit
        self.spent = spent or Spent()
        self._reserved = Spent()
        self._started = time.monotonic()
        self._settled = anyio.Event()
        self._held = False
        self._wanted = anyio.Event()

    async def hold(self) -> None:
        """Let no more calls pass; return when one would, and none is on its way any more."""
        self._held = True
        await self._wanted.wait()
        while self._reserved.calls:
            await self._settled.wait()
        # What was answered last is still being written down.
        await anyio.sleep(LAST_WORDS_S)

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
                raise BudgetSpent(self.name, kind, self._left(kind))
            await self._settled.wait()
            await self._pass()
        self._reserved += most
        reservation = Reservation()
        try:
            yield reservation
        finally:
            self._reserved -= most
            self.spent += Spent.of(reservation.usage)
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

    def _left(self, kind: str) -> str:
        spent, limit = self.spent, self.limit
        match kind:
            case "cost_usd":
                return f"${spent.cost_usd:.4f} of ${limit.cost_usd or 0:.4f} is spent"
            case "tokens":
                return f"{spent.tokens} of {limit.tokens} tokens are spent"
            case "calls":
                return f"{spent.calls} of {limit.calls} calls are made"
            case _:
                return f"the {limit.seconds or 0:.0f} s are over"

    def _out_of_time(self) -> bool:
        seconds = self.limit.seconds
        return seconds is not None and time.monotonic() - self._started >= seconds


class Reservation:
    """A call under a budget; `usage` is set when it has been paid for."""

    def __init__(self) -> None:
        self.usage = Usage(calls=0)
