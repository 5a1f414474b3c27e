"""Notes of in-flight calls, kept where a kill of this process does not reach them."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import anyio

from kiln_mcp.llm.response_cache.expense import Expense


@dataclass(frozen=True, slots=True)
class InFlightNote:
    """What one process has in flight under a budget.

    Attributes:
        id: The id of the process's work under the budget.
        budget: The budget's name.
        maximum: The most that in-flight and lost calls can take.
    """

    id: str
    budget: str
    maximum: Expense


class InFlightNotes(Protocol):
    """The store of notes; it keeps the newest of each id."""

    async def note(self, note: InFlightNote) -> None:
        """Keep a note; return when it would survive a kill of this process."""
        ...

    def note_soon(self, note: InFlightNote) -> None:
        """Keep a note, soon."""
        ...


class InFlightCalls:
    """The in-flight calls under a budget.

    The note is never less than what is in flight, and at most twice as many calls. So it is
    written when the number of in-flight calls reaches a new height, and not for each call.
    """

    def __init__(self, budget: str, notes: InFlightNotes) -> None:
        self._note: Callable[[Expense], InFlightNote] = lambda maximum: InFlightNote(
            self._id, budget, maximum
        )
        self._id = secrets.token_hex(8)
        self._notes = notes
        self._total = Expense()
        self._written_total = Expense()
        self._noting = anyio.Lock()

    async def begin(self, maximum: Expense) -> None:
        """Add a call that is about to be sent; return when a note that is kept covers it."""
        self._total += maximum
        if self._written_total.covers(self._total):
            return
        try:
            async with self._noting:
                if not self._written_total.covers(self._total):
                    target = self._total.or_more(self._written_total)
                    await self._notes.note(self._note(target))
                    self._written_total = target
        except BaseException:
            self._total -= maximum
            raise

    def grow(self, extra: Expense) -> None:
        """Add what an in-flight call takes beyond its reservation; the next note holds it."""
        self._total += extra

    def end(self, maximum: Expense, loss: Expense) -> None:
        """Remove a call.

        Args:
            maximum: Its reservation.
            loss: What it took that the response cache does not hold; it stays in the note for ever.
        """
        self._total += loss - maximum
        if self._noting.locked():  # a larger note is just being written
            return
        if loss.calls or 2 * self._total.calls <= self._written_total.calls:
            self._written_total = self._total
            self._notes.note_soon(self._note(self._written_total))
