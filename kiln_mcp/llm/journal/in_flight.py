"""What calls on their way take at most, noted where a kill of this process does not reach it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import anyio

from kiln_mcp.llm.journal.spent import Spent


@dataclass(frozen=True, slots=True)
class Note:
    """What one process has on its way under a budget.

    Attributes:
        id: Of the process's work under the budget.
        budget: The budget's name.
        most: What is on its way takes so much at most, with what nobody will ever hear of.
    """

    id: str
    budget: str
    most: Spent


class NoteBook(Protocol):
    """Where notes are kept, the newest of each id."""

    async def note(self, note: Note) -> None:
        """Keep a note; returns when it would outlive this process."""
        ...

    def note_soon(self, note: Note) -> None:
        """Keep a note, soon."""
        ...


class OnTheWay:
    """The calls on their way under a budget.

    The note is never less than what is on its way, and by number at most twice it: so it is
    written when more calls than ever are on their way, and not for each call.
    """

    def __init__(self, budget: str, book: NoteBook) -> None:
        self._note: Callable[[Spent], Note] = lambda most: Note(self._id, budget, most)
        self._id = secrets.token_hex(8)
        self._book = book
        self._now = Spent()
        self._noted = Spent()
        self._noting = anyio.Lock()

    async def begin(self, most: Spent) -> None:
        """Note a call that is about to be sent; returns when a note that is kept covers it."""
        self._now += most
        if self._noted.covers(self._now):
            return
        try:
            async with self._noting:
                if not self._noted.covers(self._now):
                    wanted = self._now.or_more(self._noted)
                    await self._book.note(self._note(wanted))
                    self._noted = wanted
        except BaseException:
            self._now -= most
            raise

    def grow(self, more: Spent) -> None:
        """Note, with the next call, that one on its way takes so much more than was noted."""
        self._now += more

    def end(self, most: Spent, lost: Spent) -> None:
        """Take a call off again.

        Args:
            most: What it could take.
            lost: What it took of which the journal knows nothing; stays noted for ever.
        """
        self._now += lost - most
        if self._noting.locked():  # a larger note is just being written
            return
        if lost.calls or 2 * self._now.calls <= self._noted.calls:
            self._noted = self._now
            self._book.note_soon(self._note(self._noted))
