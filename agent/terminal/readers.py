"""Input from the person: what all readers have, and plain lines."""

from collections.abc import Mapping
from typing import Protocol

from agent.terminal.line_source import LineSource
from agent.terminal.surface import PlainSurface


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
        source: The lines.
        is_person: Whether a person types the lines.
    """

    reads_ahead = False

    def __init__(self, surface: PlainSurface, source: LineSource, *, is_person: bool) -> None:
        self._surface = surface
        self._source = source
        self.is_person = is_person

    async def line(self) -> str | None:
        """Return the next line; None at the end."""
        if self.is_person:
            self._surface.prompt("> ")
        return await self._source.next()

    async def answer(self, question: str) -> str | None:
        """Return the next line; None at the end, or if no person types the lines.

        What was typed before the question was shown answers nothing.
        """
        if not self.is_person:
            return None
        self._surface.prompt(question)
        return await self._source.next_new()

    async def press(self, question: str, keys: Mapping[str, str]) -> str | None:
        """Return the word of the key that a line names; None at the end, or without a person."""
        while (line := await self.answer(question)) is not None:
            if line.strip() in keys:
                return keys[line.strip()]
        return None
