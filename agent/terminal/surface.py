"""Where the conversation is shown: above the region of a terminal, or as plain lines."""

from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Protocol, TextIO

from rich.console import RenderableType

from agent.fences import printable
from agent.terminal.blocks import split_blocks, tail_of
from agent.terminal.painter import ChatMarkdown, Painter
from agent.terminal.region import Region

_LONGEST_LIVE: Final = 8_000
"""Characters of an open block that are drawn again and again."""
PLAIN_COLUMNS: Final = 4_000
"""The width of lines that go to a file or a program: nothing is wrapped."""


class Surface(Protocol):
    """Shows finished renderables, and a text that grows."""

    @property
    def columns(self) -> int:
        """The columns of a line."""
        ...

    def print(self, renderable: RenderableType) -> None:
        """Show something finished, for good."""
        ...

    def stream(self, text: str) -> None:
        """Show the next piece of a text."""
        ...

    def settle(self) -> None:
        """End the text that grows: keep all of it, and begin a new line."""
        ...

    def wait(self, note: str) -> None:
        """Show what is waited for; empty for nothing."""
        ...


@dataclass(slots=True)
class PlainSurface:
    """Lines as they come: for a pipe, a file, or a reader that speaks.

    Attributes:
        stream_to: Where the lines go.
        painter: Paints them without escape codes.
        width: The columns of a line.
        whole_lines: Whether a text that grows is written by the line, not by the piece.
    """

    stream_to: TextIO
    painter: Painter
    width: int = PLAIN_COLUMNS
    whole_lines: bool = False
    _open: str = field(default="", init=False)
    _in_line: bool = field(default=False, init=False)

    @property
    def columns(self) -> int:
        """The columns of a line."""
        return self.width

    def print(self, renderable: RenderableType) -> None:
        """Show something finished, for good."""
        self.settle()
        self._write(self.painter.paint(renderable, self.width))

    def stream(self, text: str) -> None:
        """Show the next piece of a text."""
        text = printable(text)
        if self.whole_lines:
            lines, newline, self._open = (self._open + text).rpartition("\n")
            text = lines + newline
        if text:
            self._in_line = not text.endswith("\n")
            self._write(text)

    def settle(self) -> None:
        """End the text that grows: keep all of it, and begin a new line."""
        rest, self._open = self._open, ""
        if rest or self._in_line:
            self._write(rest + "\n")
        self._in_line = False

    def wait(self, note: str) -> None:
        """Show nothing: a wait leaves no line behind."""

    def _write(self, text: str) -> None:
        self.stream_to.write(text)
        self.stream_to.flush()


@dataclass(slots=True)
class DrawnText:
    """The text that grows and the wait, as the region of a terminal draws them."""

    painter: Painter
    open_block: str = ""
    note: str = ""
    since: float = 0.0
    _drawn: tuple[str, int] = ("", 0)
    _lines: str = ""

    def live(self, columns: int, rows: int) -> str:
        """Return the last rows of the open block."""
        if self._drawn != (self.open_block, columns):
            block = tail_of(self.open_block, _LONGEST_LIVE)
            painted = self.painter.paint(ChatMarkdown(block), columns) if block.strip() else ""
            self._drawn, self._lines = (self.open_block, columns), painted
        return "\n".join(self._lines.rstrip("\n").split("\n")[-rows:])

    def wait(self) -> str:
        """Return the line that says what is waited for, and since when."""
        if not self.note:
            return ""
        seconds = int(monotonic() - self.since)
        return f"… {self.note} · {seconds} s · Ctrl-C stops" if seconds else f"… {self.note}"


@dataclass(slots=True)
class DrawnSurface:
    """A terminal: finished blocks above the region, the open block inside it."""

    region: Region
    painter: Painter
    drawn: DrawnText
    _is_first_block: bool = field(default=True, init=False)

    @property
    def columns(self) -> int:
        """The columns of a line."""
        return self.region.columns

    def print(self, renderable: RenderableType) -> None:
        """Show something finished, for good."""
        self.settle()
        self.region.write(self.painter.paint(renderable, self.columns))

    def stream(self, text: str) -> None:
        """Show the next piece of a text: finished blocks for good, the last one as it grows."""
        blocks = split_blocks(self.drawn.open_block + printable(text))
        self.drawn.note = ""
        self.drawn.open_block = blocks.open
        for block in blocks.finished:
            self._write_block(block)
        self.region.refresh()

    def settle(self) -> None:
        """End the text that grows: write the open block for good."""
        block, self.drawn.open_block = self.drawn.open_block, ""
        self._write_block(block)
        self._is_first_block = True
        self.drawn.note = ""

    def wait(self, note: str) -> None:
        """Show what is waited for; empty for nothing."""
        if not self.drawn.note:
            self.drawn.since = monotonic()
        self.drawn.note = printable(note).replace("\n", " ")
        self.region.refresh()

    def _write_block(self, block: str) -> None:
        if not block.strip():
            return
        gap = "" if self._is_first_block else "\n"
        self._is_first_block = False
        text = self.painter.paint(ChatMarkdown(block.strip("\n")), self.columns)
        self.region.write(gap + text.strip("\n") + "\n")
