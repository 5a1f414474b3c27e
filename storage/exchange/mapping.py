"""Mappings from the columns of a table to the parts of an example.

A part is a column (`question`), a path (`request.messages[0].content`), or a template of several
(`{title}: {body}`; `{{` and `}}` stand for braces).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from storage.exchange.columns import Row
from storage.exchange.examples import (
    Example,
    conversation,
    is_empty,
    list_of,
    messages_of,
    object_of,
    tags_of,
    text_of_value,
    topic_of,
)

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?\d+)\]")
_SLOT = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")
_BRACES: Final[Mapping[str, str]] = {"{{": "{", "}}": "}"}


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Where the parts of an example are in a row.

    Attributes:
        input: A column, path or template.
        output: The same for the reference; None if there is none.
        tags: Where the tags are: a list, or text with commas.
        topic: Where the topic is.
    """

    input: str
    output: str | None = None
    tags: str | None = None
    topic: str | None = None

    def read(self, row: Row) -> Example:
        """Return the example of a row; without a value for the output it has no reference.

        Raises:
            ValueError: The row has no value for the input, or for a slot of a template.
        """
        question = value_at(row, self.input)
        if is_empty(question):
            keys = ", ".join(row) or "none"
            raise ValueError(f"it has no value for the input {self.input!r} (its keys: {keys})")
        answer = None if self.output is None else value_at(row, self.output)
        reference = None if is_empty(answer) else answer
        messages = messages_of(question)
        chat = None if messages is None else conversation(messages, reference)
        return Example(
            question if chat is None else chat.input,
            reference if chat is None else chat.reference,
            () if self.tags is None else tags_of(value_at(row, self.tags)),
            None if self.topic is None else topic_of(value_at(row, self.topic)),
            () if chat is None else chat.messages,
        )


def value_at(row: Row, expression: str) -> object | None:
    """Return the value of a column, a path or a template; None if there is none.

    Raises:
        ValueError: A slot of a template has no value.
    """
    if _SLOT.search(expression) and expression not in row:
        return _SLOT.sub(lambda slot: _slot_text(row, slot), expression)
    return _at_path(row, expression)


def _slot_text(row: Row, slot: re.Match[str]) -> str:
    if slot.group() in _BRACES:
        return _BRACES[slot.group()]
    value = _at_path(row, slot.group(1).strip())
    if is_empty(value):
        raise ValueError(f"it has no value for {slot.group()}")
    return text_of_value(value)


def _at_path(row: Row, path: str) -> object | None:
    """Return what is at a path. A column of that very name comes first, case aside in the end."""
    if path in row:
        return row[path]
    columns = {key.strip().casefold(): value for key, value in row.items()}
    if path.strip().casefold() in columns:
        return columns[path.strip().casefold()]
    value: object | None = row
    end = 0
    while end < len(path):
        step = _STEP.match(path, end)
        if step is None:
            return None
        value = _below(value, step, columns if end == 0 else None)
        end = step.end()
    return value


def _below(
    value: object, step: re.Match[str], columns: Mapping[str, object] | None
) -> object | None:
    """Return a member of an object, or an entry of a list; JSON text in a cell is read."""
    if step.group(2) is not None:
        entries, place = list_of(value) or [], int(step.group(2))
        return entries[place] if -len(entries) <= place < len(entries) else None
    key = step.group(1)
    members = object_of(value) or {}
    return members.get(key, (columns or {}).get(key.strip().casefold()))
