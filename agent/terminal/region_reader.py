"""Input from the person in the region of a terminal, with its history and its completions."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory

from agent.chat_history import Secrets
from agent.terminal.region import Region


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


_LONGEST_LINE: Final = 10_000
"""Characters of a line that the history keeps: all of it is read at each start."""


class MaskedHistory(FileHistory):
    """The lines typed earlier, with secrets masked; a pasted log is none to type again."""

    def __init__(self, file: Path, secrets: Secrets) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        super().__init__(str(file))
        self._secrets = secrets

    def store_string(self, string: str) -> None:
        """Keep a line that is not too long."""
        if len(string) <= _LONGEST_LINE:
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
