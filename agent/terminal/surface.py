"""Where the conversation is shown: above the region of a terminal, or as plain lines."""

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from rich.cells import cell_len
from rich.console import RenderableType

from agent.fences import printable
from agent.terminal.blocks import split_blocks
from agent.terminal.painter import Painter

if TYPE_CHECKING:  # what draws takes a tenth of the start, and lines of a pipe need none of it
    from agent.terminal.growing_block import GrowingBlock
    from agent.terminal.region import Region

_TAKE_EVERY_S: Final = 0.05
"""How often the finished lines of a growing block are looked for: drawing it takes time."""
PLAIN_COLUMNS: Final = 4_000
"""The width of lines that go to a file or a program: nothing is wrapped."""
_LONGEST_WORD: Final = 1_000
"""Characters of a word that is not broken."""


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
        whole_lines: Whether a text that grows is written by the line, not by the piece. Long lines
            are broken between words.
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
            text, self._open = _whole_lines(self._open + text, self.width)
        if text:
            self._in_line = not text.endswith("\n")
            self._write(text)

    def settle(self) -> None:
        """End the text that grows: keep all of it, and begin a new line."""
        rest, self._open = self._open.rstrip(" "), ""
        if rest or self._in_line:
            self._write(rest + "\n")
        self._in_line = False

    def prompt(self, text: str) -> None:
        """Show at once what a person is to answer, and leave the cursor behind it."""
        self.settle()
        self._write(printable(text))

    def wait(self, note: str) -> None:
        """Show nothing: a wait leaves no line behind."""

    def _write(self, text: str) -> None:
        self.stream_to.write(text)
        self.stream_to.flush()


def _whole_lines(text: str, width: int) -> tuple[str, str]:
    """Return a text that grows up to its last whole line, broken between words, and the rest."""
    rows: list[str] = []
    *lines, rest = text.split("\n")
    for line in lines:
        rows += _rows_of(line, width)
    *more_rows, rest = _rows_of(rest, width)
    return "".join(f"{row}\n" for row in (*rows, *more_rows)), rest


def _rows_of(line: str, width: int) -> list[str]:
    """Return a line as lines of at most some columns, unless a word is longer."""
    parts: list[str] = []
    start = 0
    while cell_len(line[start : start + width + 1]) > width:
        fitting = start + width
        while cell_len(line[start:fitting]) > width:
            fitting -= 1
        space = line.rfind(" ", start + 1, fitting + 1)
        if space < 0:
            space = line.find(" ", fitting, start + _LONGEST_WORD)
        if space < 0 and len(line) - start < _LONGEST_WORD:
            break
        end = space if space > 0 else start + _LONGEST_WORD
        parts.append(line[start:end])
        start = end + (space > 0)
    return [*parts, line[start:]]


@dataclass(slots=True)
class DrawnText:
    """The text that grows and the wait, as the region of a terminal draws them."""

    block: "GrowingBlock"
    note: str = ""
    since: float = 0.0

    def live(self, columns: int, rows: int) -> str:
        """Return the last rows of what is not written for good."""
        return self.block.tail(columns, rows)

    def wait(self) -> str:
        """Return the line that says what is waited for, and since when."""
        if not self.note:
            return ""
        seconds = int(monotonic() - self.since)
        return f"… {self.note} · {seconds} s · Ctrl-C stops" if seconds else f"… {self.note}"


@dataclass(slots=True)
class DrawnSurface:
    """A terminal: finished blocks above the region, the open block inside it."""

    region: "Region"
    painter: Painter
    drawn: DrawnText
    _is_first: bool = field(default=True, init=False)
    _is_open: bool = field(default=False, init=False)
    _taken_at: float = field(default=0.0, init=False)

    @property
    def columns(self) -> int:
        """The columns of a line."""
        return self.region.columns

    def print(self, renderable: RenderableType) -> None:
        """Show something finished, for good."""
        self._end_block()
        self.region.write(self.painter.paint(renderable, self.columns))

    def stream(self, text: str) -> None:
        """Show the next piece of a text: finished lines for good, the last one as it grows."""
        block = self.drawn.block
        blocks = split_blocks(block.source + printable(text))
        self.drawn.note = ""
        for finished in blocks.finished:
            self._write(block.end(finished, self.columns))
            self._is_open = False
        block.source = blocks.open
        time = monotonic()
        if time - self._taken_at > _TAKE_EVERY_S:
            self._taken_at = time
            self._write(block.take_lines(self.columns))
        self.region.refresh()

    def settle(self) -> None:
        """End the text that grows: write the rest of it for good."""
        self._end_block()
        self.wait("")

    def wait(self, note: str) -> None:
        """Show what is waited for; empty for nothing."""
        if not self.drawn.note:
            self.drawn.since = monotonic()
        self.drawn.note = printable(note).replace("\n", " ")
        self.region.refresh()

    def _end_block(self) -> None:
        block = self.drawn.block
        self._write(block.end(block.source, self.columns))
        self._is_first, self._is_open = True, False

    def _write(self, lines: str) -> None:
        """Write lines of a block, after a blank line if another block stands before it."""
        if not lines:
            return
        self.region.write(lines if self._is_open or self._is_first else "\n" + lines)
        self._is_first, self._is_open = False, True
