import random

import anyio
import anyio.lowlevel
import pytest

from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.llm.response_cache.expense import Expense
from kiln_mcp.llm.response_cache.in_flight import InFlightCalls, InFlightNote


class SlowBook:
    """Keeps notes in the order in which they came, each after a while."""

    def __init__(self) -> None:
        self.kept = Expense()
        self.full = False
        self.waited_for = 0
        self._waiting: list[InFlightNote] = []

    async def note(self, note: InFlightNote) -> None:
        self.waited_for += 1
        self._waiting.append(note)
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        if self.full:
            raise DatabaseFailure("it is full")
        if note in self._waiting:
            last = self._waiting.index(note) + 1
            self.kept, self._waiting = self._waiting[last - 1].maximum, self._waiting[last:]

    def note_soon(self, note: InFlightNote) -> None:
        self._waiting.append(note)


@pytest.mark.parametrize("seed", range(20))
async def test_the_note_covers_every_call_that_was_sent(seed: int) -> None:
    chance = random.Random(seed)
    book = SlowBook()
    way = InFlightCalls("jobs/1", book)
    sent = Expense()

    async def call() -> None:
        nonlocal sent
        for _ in range(20):
            most = Expense(0.0, chance.randrange(1, 100), 1)
            await way.begin(most)
            sent += most
            assert book.kept.covers(sent)
            for _ in range(chance.randrange(6)):
                await anyio.lowlevel.checkpoint()
            sent -= most
            way.end(most, Expense())

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(call)
    assert book.waited_for < 200  # and yet not one note a call


async def test_a_call_whose_note_cannot_be_kept_is_not_sent_and_the_next_is_noted_anew() -> None:
    book = SlowBook()
    way = InFlightCalls("jobs/1", book)
    most = Expense(0.0, 10, 1)
    book.full = True
    for _ in range(2):
        with pytest.raises(DatabaseFailure):
            await way.begin(most)
    book.full = False
    await way.begin(most)
    assert book.kept == most
