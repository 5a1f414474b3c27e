"""A Markdown block that is written line by line while it grows, each line once.

What was written is counted by its visible characters, spaces aside. The next lines are those of
the whole block after that count. So a window that changes its width changes only the lines to come.
"""

import re
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from agent.terminal.blocks import fence_of
from agent.terminal.inline_marks import stable_length
from agent.terminal.painter import ChatMarkdown, Painter

_ESCAPE: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(slots=True)
class GrowingBlock:
    """One block.

    Attributes:
        painter: Paints it.
        source: The Markdown so far; of long code, the part that is not written yet.
        written_count: The visible characters of `source` that are written for good.
    """

    painter: Painter
    source: str = ""
    written_count: int = 0

    def take_lines(self, columns: int) -> str:
        """Return the lines that no later text changes and that were not taken before.

        Args:
            columns: The width of the terminal.
        """
        stable = self.source[: stable_length(self.source)]
        lines = self._remaining(stable, columns)[:-1]
        while lines and not _visible(lines[-1]):
            lines.pop()
        if not lines:
            return ""
        self.written_count += sum(len(_visible(line)) for line in lines)
        self._forget_written_code()
        return "\n".join(lines) + "\n"

    def end(self, source: str, columns: int) -> str:
        """Return all lines that were not taken yet, and begin another block.

        Args:
            source: What the block is in the end, from where `source` begins.
            columns: The width of the terminal.
        """
        lines = self._remaining(source, columns)
        self.source, self.written_count = "", 0
        return "\n".join(lines) + "\n" if lines else ""

    def tail(self, columns: int, rows: int) -> str:
        """Return the last rows of what is not written yet."""
        return "\n".join(self._remaining(self.source, columns)[-rows:])

    def _remaining(self, source: str, columns: int) -> list[str]:
        if not source.strip():
            return []
        text = self.painter.paint(ChatMarkdown(source.rstrip("\n")), columns)
        lines = text.split("\n")
        while lines and not _visible(lines[-1]):
            lines.pop()
        if not self.written_count:
            while lines and not _visible(lines[0]):
                lines.pop(0)
        return self._after_written(lines)

    def _after_written(self, lines: list[str]) -> list[str]:
        count = self.written_count
        for place, line in enumerate(lines):
            if not count:
                return lines[place:]
            length = len(_visible(line))
            if length > count:
                return [self._cut(line, count), *lines[place + 1 :]]
            count -= length
        return []

    def _cut(self, line: str, count: int) -> str:
        """Return a line without its first visible characters."""
        text = Text.from_ansi(line)
        place = 0
        while count:
            count -= not text.plain[place].isspace()
            place += 1
        rest = text[place:]
        return self.painter.paint(rest, max(1, rest.cell_len)).strip("\n").lstrip(" ")

    def _forget_written_code(self) -> None:
        """Drop lines of code that are written, so that long code stays quick to draw."""
        if not fence_of(self.source):
            return
        opening, *lines = self.source.splitlines(keepends=True)
        while lines and lines[0].endswith("\n"):
            length = len("".join(lines[0].split()))
            if length > self.written_count:
                break
            if not length and not self.written_count:
                break
            self.written_count -= length
            lines.pop(0)
        self.source = opening + "".join(lines)


def _visible(line: str) -> str:
    return "".join(_ESCAPE.sub("", line).split())
