"""Input from the person: what all readers have, and plain lines."""

import sys
from collections.abc import Mapping
from typing import Protocol

import anyio.to_thread

from agent.terminal.surface import Surface


class LineReader(Protocol):
    """Reads lines from the person."""

    @property
    def is_person(self) -> bool:
        """Whether a person types the lines, and can answer questions."""
        ...

    @property
    def reads_ahead(self) -> bool:
        """Whether lines are taken while a turn goes on."""
        ...

    async def line(self) -> str | None:
        """Return the next line; None at the end."""
        ...

    async def answer(self, question: str) -> str | None:
        """Return the answer to a question; None if it was closed unanswered."""
        ...

    async def press(self, question: str, keys: Mapping[str, str]) -> str | None:
        """Return the word of the key that answers; None if the question was closed."""
        ...


class PlainReader:
    """Reads lines from standard input.

    Args:
        surface: Where questions are shown.
        is_person: Whether a person types the lines.
    """

    reads_ahead = False

    def __init__(self, surface: Surface, *, is_person: bool) -> None:
        self._surface = surface
        self.is_person = is_person

    async def line(self) -> str | None:
        """Return the next line; None at the end."""
        if self.is_person:
            self._surface.stream("> ")
        return await self._next_line()

    async def answer(self, question: str) -> str | None:
        """Return the next line; None at the end, or if no person types the lines."""
        if not self.is_person:
            return None
        self._surface.stream(question)
        return await self._next_line()

    async def press(self, question: str, keys: Mapping[str, str]) -> str | None:
        """Return the word of the key that a line names; None at the end, or without a person."""
        while (line := await self.answer(question)) is not None:
            if line.strip() in keys:
                return keys[line.strip()]
        return None

    async def _next_line(self) -> str | None:
        text = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        return text.rstrip("\n") if text else None
