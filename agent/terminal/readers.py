"""Input from the person: the region of a terminal, or plain lines."""

import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import anyio.to_thread
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory

from agent.chat_history import Secrets
from agent.terminal.region import Region
from agent.terminal.surface import Surface

Words = Callable[[str], Sequence[str]]
"""Returns the words that may follow a text."""


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


class RegionReader:
    """Reads from the region of a terminal, with a history and its search (Ctrl-R)."""

    is_person = True
    reads_ahead = True

    def __init__(self, region: Region) -> None:
        self._region = region

    async def line(self) -> str | None:
        """Return the next line; None at Ctrl-D."""
        return await self._region.line()

    async def answer(self, question: str) -> str | None:
        """Return the answer to a question; None at Ctrl-D and Ctrl-C."""
        return await self._region.ask(question)

    async def press(self, question: str, keys: Mapping[str, str]) -> str | None:
        """Return the word of the key that was pressed; None at Ctrl-D and Ctrl-C."""
        return await self._region.press(question, keys)


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


class MaskedHistory(FileHistory):
    """The lines typed earlier, with secrets masked."""

    def __init__(self, file: Path, secrets: Secrets) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        super().__init__(str(file))
        self._secrets = secrets

    def store_string(self, string: str) -> None:
        """Keep a line."""
        super().store_string(self._secrets.mask(string))


class WordSource(Protocol):
    """Names what may be typed next."""

    async def next_words(self, text: str) -> Sequence[str]:
        """Return the words that may follow a text."""
        ...


class WordCompleter(Completer):
    """Completes the word before the cursor."""

    def __init__(self, source: WordSource) -> None:
        self._source = source

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> list[Completion]:
        """Return nothing: words are looked up without blocking."""
        del document, complete_event
        return []

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """Yield the words that begin as the one before the cursor does."""
        del complete_event  # the cause of the completion makes no difference
        text, _, prefix = document.text_before_cursor.rpartition(" ")
        for word in await self._source.next_words(text):
            if word.startswith(prefix):
                yield Completion(word, start_position=-len(prefix))
