"""The reasoning that a server leaves in an answer's text, between <think> tags at its beginning."""

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
    """Separates reasoning from text, in pieces that are cut anywhere, even within tags."""

    def __init__(self) -> None:
        self._place = _Place.BEFORE
        self._buffer = ""

    def feed(self, piece: str) -> tuple[str, str]:
        """Take the next piece; return the text and the reasoning that are certain by now."""
        text = reasoning = ""
        self._buffer += piece
        if self._place is _Place.BEFORE:
            self._begin()
        if self._place is _Place.THINKING:
            reasoning = self._think()
        if self._place is _Place.AFTER:
            self._buffer = self._buffer.lstrip()
            self._place = _Place.TEXT if self._buffer else _Place.AFTER
        if self._place is _Place.TEXT:
            text, self._buffer = self._buffer, ""
        return text, reasoning

    def end(self) -> tuple[str, str]:
        """Return the rest of the text and of the reasoning, at the end of the answer."""
        rest, self._buffer = self._buffer, ""
        return ("", rest) if self._place is _Place.THINKING else (rest, "")

    def _begin(self) -> None:
        started = self._buffer.lstrip()
        if started.startswith(OPENED):
            self._place = _Place.THINKING
            self._buffer = started[len(OPENED) :]
        elif not OPENED.startswith(started):
            self._place = _Place.TEXT

    def _think(self) -> str:
        reasoning, closed, rest = self._buffer.partition(CLOSED)
        if closed:
            self._place = _Place.AFTER
            self._buffer = rest
            return reasoning
        overlap = next(n for n in range(len(CLOSED) - 1, -1, -1) if reasoning.endswith(CLOSED[:n]))
        self._buffer = reasoning[len(reasoning) - overlap :]
        return reasoning[: len(reasoning) - overlap]


def split_reasoning(content: str, reasoning: str) -> tuple[str, str]:
    """Return the answer and the reasoning, even if a server left it in the text."""
    if not content.lstrip().startswith(OPENED):
        return content, reasoning
    splitter = ThoughtSplitter()
    parts = splitter.feed(content), splitter.end()
    text, inline_reasoning = ("".join(part) for part in zip(*parts, strict=True))
    return text, reasoning or inline_reasoning.strip()
