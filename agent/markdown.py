"""Markdown while it is being written: finished blocks, and the one that still grows."""

from dataclasses import dataclass

_FENCES = ("```", "~~~")


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
    """Split a text at its blank lines, except those inside fenced code.

    `"".join(finished) + open` is the text.
    """
    finished: list[str] = []
    block: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        block.append(line)
        mark = line.lstrip()[:3]
        if fence:
            fence = "" if mark == fence and line.endswith("\n") else fence
        elif mark in _FENCES:
            fence = mark
        elif line == "\n":
            finished.append("".join(block))
            block.clear()
    return Blocks(tuple(finished), "".join(block))
