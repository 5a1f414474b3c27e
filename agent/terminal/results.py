"""The results of tools: a line each, and each whole when it is asked for."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from pydantic import JsonValue
from rich.console import Group, RenderableType
from rich.text import Text

from agent.events import ToolFinished
from agent.fences import printable
from agent.terminal.answer_tables import answer_lines, answer_tables, whole_tables
from storage.errors import Refusal
from storage.text.excerpts import excerpt_line

_LONGEST_ARGUMENTS: Final = 60
_LONGEST_ERROR: Final = 600


@dataclass(frozen=True, slots=True)
class ShownResult:
    """A result with its number.

    Attributes:
        number: What `/show` names it by.
        arguments: The arguments of the call, as JSON text.
        finished: The result.
    """

    number: int
    arguments: str
    finished: ToolFinished


@dataclass(slots=True)
class Results:
    """The results of this session, in their order."""

    entries: list[ShownResult] = field(default_factory=list[ShownResult])

    def add(self, arguments: str, finished: ToolFinished) -> ShownResult:
        """Keep a result, and return it with its number."""
        result = ShownResult(len(self.entries) + 1, arguments, finished)
        self.entries.append(result)
        return result

    def find(self, number: str) -> ShownResult:
        """Return the result of a number; the last one for an empty text.

        Raises:
            Refusal: There is none.
        """
        if not self.entries:
            raise Refusal("No tool has answered in this session yet.")
        if not number:
            return self.entries[-1]
        if not number.isdecimal() or not 0 < int(number) <= len(self.entries):
            raise Refusal(
                "There is no result '{number}'. Results of this session: 1 to {last}.",
                number=number,
                last=len(self.entries),
            )
        return self.entries[int(number) - 1]


def result_line(result: ShownResult, columns: int) -> Text:
    """Return a result as one line; an error in its own words."""
    finished = result.finished
    name = printable(finished.name)
    if finished.refusal:
        arguments = short_arguments(result.arguments)
        return Text(f"✗ {result.number} {name}{arguments}: {finished.refusal}", "warn")
    if finished.is_error:
        sentence = excerpt_line(printable(finished.text), _LONGEST_ERROR)
        return Text(f"✗ {result.number} {name}: {sentence}", "bad")
    words = _as_lines(finished)
    lines = [line for line in printable(words).splitlines() if line.strip()]
    count = f" (+{len(lines) - 1} lines)" if len(lines) > 1 else ""
    longest = min(_LONGEST_ARGUMENTS, columns // 3)
    head = f"✓ {result.number} {name}{short_arguments(result.arguments, longest)}"
    end = f"{count} · {finished.seconds:.1f} s"
    first = lines[0] if lines else "no text"
    room = max(12, min(columns, 400) - len(head) - len(end) - 3)
    text = Text(head)
    text.stylize("good", 0, 1)
    text.append(f": {excerpt_line(first, room)}")
    text.append(end, "muted")
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text


def whole_result(result: ShownResult) -> RenderableType:
    """Return a whole result: its call, its tables where it has some, and its text."""
    finished = result.finished
    head = Text(printable(f"{result.number} {finished.name} {result.arguments}"), "tool")
    tables = answer_tables(finished.structured)
    lines = _without_blocks(_as_lines(finished), whole_tables(finished.structured))
    text = printable(lines).rstrip("\n")
    body = Text(text, "bad" if finished.is_error else "")
    return Group(head, *([tables] if tables else []), body)


def _without_blocks(text: str, names: Collection[str]) -> str:
    """Return a text without the blocks of some names, which tables show already.

    A block is a line `name:` and the lines after it that are indented, or rows of a table.
    """
    lines: list[str] = []
    is_left_out = False
    for line in text.splitlines():
        if line and not line.startswith((" ", "|")):
            is_left_out = line.endswith(":") and line[:-1] in names
        if not is_left_out:
            lines.append(line)
    return "\n".join(lines)


def _as_lines(finished: ToolFinished) -> str:
    """Return the text of a result; where it is JSON, the words of its data instead."""
    if finished.text.lstrip().startswith(("{", "[")):
        return answer_lines(finished.structured) or finished.text
    return finished.text


def short_arguments(arguments: str, longest: int = _LONGEST_ARGUMENTS) -> str:
    """Return the arguments of a call as a person writes them, in a few words.

    Args:
        arguments: As JSON text.
        longest: The most characters.
    """
    try:
        values = cast("JsonValue", json.loads(arguments or "{}"))
    except ValueError:
        return f" {excerpt_line(printable(arguments), longest)}"
    if not isinstance(values, dict) or not values:
        return ""
    words = [f"{name}={_word(value)}" for name, value in values.items()]
    return f" {excerpt_line(printable(' '.join(words)), longest)}"


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def numbers(entries: Sequence[ShownResult]) -> list[str]:
    """Return the numbers of results, as `/show` takes them."""
    return [str(entry.number) for entry in entries]
