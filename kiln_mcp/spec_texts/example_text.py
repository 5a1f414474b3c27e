"""Examples as text in a field of Kiln's, written and read back.

An example is a list entry. One with more than an output has labels:

    - Input: Where is my order?
      Output: It arrives tomorrow.
        It left our house today.
      Why: Nobody knows when it arrives.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_BULLET: Final = re.compile(r"^\s{0,3}(?:[-*•]|\d+[.)])\s+")
_LABEL: Final = re.compile(r"^ {0,3}(input|output|why|reason|because)\s*:\s*", re.IGNORECASE)
_PARTS: Final = {
    "input": "input",
    "output": "output",
    "why": "reason",
    "reason": "reason",
    "because": "reason",
}
_NEXT_LINE: Final = "    "


@dataclass(frozen=True, slots=True)
class ExampleText:
    """What the text of an example says: its output, what it answers, and why it passes or fails."""

    output: str
    input: str = ""
    reason: str = ""


def write_examples(examples: Sequence[ExampleText]) -> str:
    """Return examples as a list; "" if there are none."""
    return "\n".join(_as_entry(example) for example in examples)


def read_examples(text: str) -> tuple[ExampleText, ...]:
    """Return the examples of a field, also of one that others wrote without labels or bullets.

    Without bullets and labels each paragraph is one output.
    """
    return tuple(example for block in _blocks(text) if (example := _read(block)).output)


def plain(text: str) -> str:
    """Return a text as a field can hold it: no spaces at line ends, no blank lines around it."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return "\n".join(lines)


def _as_entry(example: ExampleText) -> str:
    output = plain(example.output)
    is_single = "\n" not in output and not _LABEL.match(output) and not _BULLET.match(output)
    if is_single and not example.input and not example.reason:
        return f"- {output}"
    parts = [("Input", example.input), ("Output", example.output), ("Why", example.reason)]
    lines = [f"{name}: {_with_indents(plain(value))}" for name, value in parts if value]
    return "- " + "\n  ".join(lines)


def _with_indents(value: str) -> str:
    return "\n".join(
        line if number == 0 or not line else f"{_NEXT_LINE}{line}"
        for number, line in enumerate(value.split("\n"))
    )


def _blocks(text: str) -> Iterator[list[str]]:
    """Return the lines of each example, without its bullet."""
    lines = text.split("\n")
    has_bullets = any(_BULLET.match(line) for line in lines)
    block: list[str] = []
    for line in lines:
        bullet = _BULLET.match(line)
        label = _LABEL.match(line)
        is_next_pair = label is not None and not has_bullets and _begins_again(block, label[1])
        if bullet is not None or is_next_pair or (not has_bullets and _ends(block, line)):
            yield block
            block = []
        block.append(line[bullet.end() :] if bullet else line)
    yield block


def _begins_again(block: Sequence[str], name: str) -> bool:
    """Return whether a label comes a second time, so that another example begins with it."""
    part = _PARTS[name.lower()]
    return any((match := _LABEL.match(line)) and _PARTS[match[1].lower()] == part for line in block)


def _ends(block: Sequence[str], line: str) -> bool:
    """Return whether a blank line ends a paragraph without labels."""
    return not line.strip() and bool(block) and not any(_LABEL.match(part) for part in block)


def _read(block: Sequence[str]) -> ExampleText:
    values: dict[str, list[str]] = {}
    part = "output"
    for number, line in enumerate(block):
        label = _LABEL.match(line)
        if label is not None:
            part = _PARTS[label[1].lower()]
            values.setdefault(part, []).append(line[label.end() :])
        else:
            values.setdefault(part, []).append(line if number == 0 else _without_indent(line))
    texts = {name: plain("\n".join(lines)) for name, lines in values.items()}
    return ExampleText(texts.get("output", ""), texts.get("input", ""), texts.get("reason", ""))


def _without_indent(line: str) -> str:
    for indentation in (_NEXT_LINE, "  "):
        if line.startswith(indentation):
            return line.removeprefix(indentation)
    return line
