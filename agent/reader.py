"""Input from the person: a terminal with a history, or plain lines."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import anyio.to_thread
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory

from agent.chat_history import Secrets

Words = Callable[[str], Sequence[str]]
"""Returns the words that may follow a text."""


class LineReader(Protocol):
    """Reads lines from the person."""

    async def line(self, prompt: str) -> str | None:
        """Return one line; None at the end."""
        ...

    async def answer(self, question: str) -> str | None:
        """Return the answer to a question; None if it was closed unanswered."""
        ...


class PlainReader:
    """Reads lines from standard input that is not a terminal."""

    async def line(self, prompt: str) -> str | None:
        """Return one line; None at the end."""
        text = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        return text.rstrip("\n") if text else None

    async def answer(self, question: str) -> str | None:
        """Return the next line; None at the end, or if no person types the lines."""
        return await self.line(question) if sys.stdin.isatty() else None


class TerminalReader:
    """Reads lines from a terminal, with arrow keys, Tab, a history and its search (Ctrl-R)."""

    def __init__(self, history: Path, secrets: Secrets, words: Words) -> None:
        history.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        history.touch(mode=0o600)
        self._session: PromptSession[str] = PromptSession(
            history=_MaskedHistory(history, secrets),
            completer=_WordCompleter(words),
            complete_while_typing=False,
        )

    async def line(self, prompt: str) -> str | None:
        """Return one line; None at Ctrl-D, an empty one at Ctrl-C."""
        try:
            return await self._prompt(prompt)
        except EOFError:
            return None
        except KeyboardInterrupt:
            return ""

    async def answer(self, question: str) -> str | None:
        """Return one line; None at Ctrl-D and Ctrl-C."""
        try:
            return await self._prompt(question)
        except (EOFError, KeyboardInterrupt):
            return None

    async def _prompt(self, prompt: str) -> str:
        # The session handles Ctrl-C itself; here it is a key like any other.
        return await self._session.prompt_async(prompt, handle_sigint=False)


class _MaskedHistory(FileHistory):
    """The lines typed earlier, with secrets masked."""

    def __init__(self, file: Path, secrets: Secrets) -> None:
        super().__init__(str(file))
        self._secrets = secrets

    def store_string(self, string: str) -> None:
        super().store_string(self._secrets.mask(string))


class _WordCompleter(Completer):
    def __init__(self, words: Words) -> None:
        self._words = words

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        del complete_event  # the cause of the completion makes no difference
        text, _, prefix = document.text_before_cursor.rpartition(" ")
        for word in self._words(text):
            if word.startswith(prefix):
                yield Completion(word, start_position=-len(prefix))
