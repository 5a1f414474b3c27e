"""How the person types: in a terminal with what was typed before, or as plain lines."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import anyio.to_thread
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory

from agent.history import Secrets

Words = Callable[[str], Sequence[str]]
"""What may stand next after the text that was typed so far."""


class LineReader(Protocol):
    """Reads what the person types."""

    async def line(self, prompt: str) -> str | None:
        """Return one line; None at the end."""
        ...

    async def answer(self, question: str) -> str | None:
        """Return the answer to a question; None if it was closed unanswered."""
        ...


class PlainReader:
    """Reads lines from standard input, where it is no terminal."""

    async def line(self, prompt: str) -> str | None:
        """Return one line; None at the end."""
        text = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        return text.rstrip("\n") if text else None

    async def answer(self, question: str) -> str | None:
        """Return the next line; None at the end, or if no person types the lines."""
        return await self.line(question) if sys.stdin.isatty() else None


class TerminalReader:
    """Reads lines from a terminal: arrow keys, search with Ctrl-R, Tab, what was typed before."""

    def __init__(self, history: Path, secrets: Secrets, words: Words) -> None:
        history.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        history.touch(mode=0o600)
        self._session: PromptSession[str] = PromptSession(
            history=_DiscreetHistory(history, secrets),
            completer=_WordCompleter(words),
            complete_while_typing=False,
        )

    async def line(self, prompt: str) -> str | None:
        """Return one line; None at Ctrl-D, an empty one at Ctrl-C."""
        try:
            return await self._typed(prompt)
        except EOFError:
            return None
        except KeyboardInterrupt:
            return ""

    async def answer(self, question: str) -> str | None:
        """Return one line; None at Ctrl-D and Ctrl-C."""
        try:
            return await self._typed(question)
        except (EOFError, KeyboardInterrupt):
            return None

    async def _typed(self, prompt: str) -> str:
        # The sitting listens for Ctrl-C itself; here it is a key like any other.
        return await self._session.prompt_async(prompt, handle_sigint=False)


class _DiscreetHistory(FileHistory):
    """What was typed before, without secrets."""

    def __init__(self, file: Path, secrets: Secrets) -> None:
        super().__init__(str(file))
        self._secrets = secrets

    def store_string(self, string: str) -> None:
        super().store_string(self._secrets.without(string))


class _WordCompleter(Completer):
    def __init__(self, words: Words) -> None:
        self._words = words

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        del complete_event  # why it was asked for makes no difference
        before, _, typed = document.text_before_cursor.rpartition(" ")
        for word in self._words(before):
            if word.startswith(typed):
                yield Completion(word, start_position=-len(typed))
