"""Markdown while it is being written: finished blocks, and the one that still grows."""

import re
from dataclasses import dataclass, field
from typing import Final

_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_LIST_ITEM: Final = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)")
_START_OF_ITEM: Final = re.compile(r"\s*(?:[-*+]?|\d{0,9}[.)]?)")


@dataclass(frozen=True, slots=True)
class Blocks:
    """A text split into its blocks.

    Attributes:
        finished: Blocks that no later text can change, with the blank lines that end them.
        open: The rest.
    """

    finished: tuple[str, ...]
    open: str


def split_blocks(text: str) -> Blocks:
    """Split a text at its blank lines, except those inside fenced code and inside lists.

    `"".join(finished) + open` is the text.
    """
    splitter = _Splitter()
    for line in text.splitlines(keepends=True):
        splitter.take(line)
    return splitter.blocks()


@dataclass(slots=True)
class _Splitter:
    finished: list[str] = field(default_factory=list[str])
    block: list[str] = field(default_factory=list[str])
    fence: str = ""
    is_list: bool = False
    is_ended: bool = False
    """Whether the block is a list that a blank line may have ended."""

    def take(self, line: str) -> None:
        if self.is_ended and not _is_blank(line) and not _goes_on(line):
            self._finish()
        if not self.block:
            self.is_list = begins_item(line)
        self.block.append(line)
        if _is_blank(line) and not self.fence:
            if self.is_list:
                self.is_ended = True
            else:
                self._finish()
            return
        self.is_ended = False
        self._note_fence(line)

    def blocks(self) -> Blocks:
        return Blocks(tuple(self.finished), "".join(self.block))

    def _note_fence(self, line: str) -> None:
        match = _FENCE.match(line.lstrip() if self.is_list else line)
        if match is None:
            return
        mark = match[1]
        if not self.fence:
            self.fence = mark
        elif mark.startswith(self.fence) and line.strip() == mark and line.endswith("\n"):
            self.fence = ""

    def _finish(self) -> None:
        self.finished.append("".join(self.block))
        self.block.clear()
        self.is_ended = False


def _is_blank(line: str) -> bool:
    return line.endswith("\n") and not line.strip()


def _goes_on(line: str) -> bool:
    """Return whether a line after a blank one belongs to the list before it, or may yet."""
    return line[0] in " \t" or begins_item(line) or _is_undecided(line)


def _is_undecided(line: str) -> bool:
    """Return whether later text decides if a line begins an item."""
    return not line.endswith("\n") and _START_OF_ITEM.fullmatch(line) is not None


def begins_item(line: str) -> bool:
    """Return whether a line begins an item of a list."""
    return _LIST_ITEM.match(line) is not None


def fence_of(block: str) -> str:
    """Return the mark that opens a block of fenced code; empty if it is none."""
    match = _FENCE.match(block)
    return match[1] if match else ""
