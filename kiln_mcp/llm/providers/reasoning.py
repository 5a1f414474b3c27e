"""Reasoning that a server left in the text of an answer, between <think> tags at its beginning."""

from enum import Enum, auto
from typing import Final

OPENED: Final = "<think>"
CLOSED: Final = "</think>"


class _Place(Enum):
    BEFORE = auto()
    THINKING = auto()
    AFTER = auto()
    TEXT = auto()


class ThoughtSplitter:
    """Tells reasoning from text, in pieces cut anywhere, tags included."""

    def __init__(self) -> None:
        self._place = _Place.BEFORE
        self._held = ""

    def feed(self, piece: str) -> tuple[str, str]:
        """Take the next piece; return what is text and what is reasoning, as far as is certain."""
        text = thought = ""
        self._held += piece
        if self._place is _Place.BEFORE:
            self._begin()
        if self._place is _Place.THINKING:
            thought = self._think()
        if self._place is _Place.AFTER:
            self._held = self._held.lstrip()
            self._place = _Place.TEXT if self._held else _Place.AFTER
        if self._place is _Place.TEXT:
            text, self._held = self._held, ""
        return text, thought

    def end(self) -> tuple[str, str]:
        """Return the text and the reasoning that were held back, at the end of the answer."""
        held, self._held = self._held, ""
        return ("", held) if self._place is _Place.THINKING else (held, "")

    def _begin(self) -> None:
        started = self._held.lstrip()
        if started.startswith(OPENED):
            self._place = _Place.THINKING
            self._held = started[len(OPENED) :]
        elif not OPENED.startswith(started):
            self._place = _Place.TEXT

    def _think(self) -> str:
        thought, closed, rest = self._held.partition(CLOSED)
        if closed:
            self._place = _Place.AFTER
            self._held = rest
            return thought
        kept = next(n for n in range(len(CLOSED) - 1, -1, -1) if thought.endswith(CLOSED[:n]))
        self._held = thought[len(thought) - kept :]
        return thought[: len(thought) - kept]


def split_reasoning(content: str, reasoning: str) -> tuple[str, str]:
    """Return the answer and the reasoning, also where a server left it in the text."""
    if not content.lstrip().startswith(OPENED):
        return content, reasoning
    splitter = ThoughtSplitter()
    parts = splitter.feed(content), splitter.end()
    text, thought = ("".join(part) for part in zip(*parts, strict=True))
    return text, reasoning or thought.strip()
