"""The part of a growing Markdown block that later text can no longer change."""

from dataclasses import dataclass, field
from typing import Final

from agent.terminal.blocks import begins_item, fence_of

_EMPHASIS: Final = "*_~"
"""Marks that may open emphasis, until the same mark closes it."""


def stable_length(block: str) -> int:
    """Return how many characters of a block stay as they are drawn, whatever comes.

    A mark that is open, such as `**`, may still turn what follows it into something else. Fenced
    code stays; of a table nothing is certain before its end, since its columns grow.
    """
    if fence_of(block):
        return len(block)
    scan = _Scan(block)
    place = 0
    for line in block.splitlines(keepends=True):
        if line.lstrip().startswith("|"):
            return min(scan.first_open(place), place)
        if not line.strip() or begins_item(line):
            scan.open_marks.clear()
        scan.line(place, place + len(line))
        place += len(line)
    return scan.first_open(len(block))


@dataclass(slots=True)
class _Scan:
    """Finds the marks that are open; each character is looked at once."""

    text: str
    open_marks: dict[str, int] = field(default_factory=dict[str, int])

    def first_open(self, end: int) -> int:
        return min(self.open_marks.values(), default=end)

    def line(self, start: int, end: int) -> None:
        place = start
        while place < end:
            place = self._step(place)

    def _step(self, place: int) -> int:
        """Look at one mark or character; return the place after it."""
        character = self.text[place]
        if character == "`":
            return self._toggle_code(place)
        if any(mark.startswith("`") for mark in self.open_marks):
            return place + 1
        if character == "\\":
            return place + 2
        if character in _EMPHASIS:
            return self._pair(place)
        self._bracket(place, character)
        return place + 1

    def _toggle_code(self, place: int) -> int:
        mark = self._run(place)
        if self.open_marks.pop(mark, None) is None:
            self.open_marks[mark] = place
        return place + len(mark)

    def _pair(self, place: int) -> int:
        mark = self._run(place)
        after = place + len(mark)
        previous = self.text[place - 1 : place]
        is_closing = bool(previous) and not previous.isspace()
        is_opening = after >= len(self.text) or not self.text[after].isspace()
        if is_closing and self.open_marks.pop(mark[0], None) is not None:
            return after
        if is_opening and not (mark[0] == "_" and previous.isalnum()):
            self.open_marks.setdefault(mark[0], place)
        return after

    def _bracket(self, place: int, character: str) -> None:
        match character:
            case "[":
                self.open_marks.setdefault("[", place)
            case "]" if "[" in self.open_marks and self.text[place + 1 : place + 2] not in {
                "",
                "(",
            }:
                del self.open_marks["["]
            case ")":
                self.open_marks.pop("[", None)
            case "<" if self.text[place + 1 : place + 2].strip():
                self.open_marks.setdefault("<", place)
            case ">":
                self.open_marks.pop("<", None)
            case _:
                pass

    def _run(self, place: int) -> str:
        end = place
        while end < len(self.text) and self.text[end] == self.text[place]:
            end += 1
        return self.text[place:end]
