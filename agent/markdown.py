"""Markdown while it is being written: which blocks are whole, and which one still grows."""

from dataclasses import dataclass

_FENCES = ("```", "~~~")


@dataclass(frozen=True, slots=True)
class Blocks:
    """A text cut into its blocks.

    Attributes:
        whole: Blocks that no later text can change, with the blank lines that end them.
        growing: The rest.
    """

    whole: tuple[str, ...]
    growing: str


def cut(text: str) -> Blocks:
    """Cut a text at its blank lines, but for those inside fenced code.

    `"".join(whole) + growing` is the text.
    """
    whole: list[str] = []
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
            whole.append("".join(block))
            block.clear()
    return Blocks(tuple(whole), "".join(block))
