"""Mappings from the columns of a table to the parts of an example.

A part is a column (`question`), a path (`request.messages.0.content`, `choices[-1].text`), or a
template of several (`{{title}}: {{body}}`). Input and output may be objects of these as well.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from storage.exchange.columns import COLUMNS, Row
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

Expression = str | Mapping[str, str]
"""A column, path or template; or an object whose values are such."""

OTHER_COLUMNS: Final = tuple(
    name for name in COLUMNS if name not in ("input", "output", "tags", "topic")
)
"""What a mapping may take from a table besides input, output, tags and topic."""

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?\d+)\]")
_SLOT = re.compile(r"\{\{([^{}]+)\}\}")
_NUMBER = re.compile(r"-?\d+")


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Where the parts of an example are in a row.

    Attributes:
        input: A column, path or template, or an object of these; "" for what is recognised.
        output: The same for the output; None if there is none.
        tags: Where the tags are: a list, or text with commas.
        topic: Where the topic is.
        columns: Where columns of our columns are, such as rating and model.
    """

    input: Expression
    output: Expression | None = None
    tags: str | None = None
    topic: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict[str, str])

    def uses(self, column: str) -> bool:
        """Whether anything is taken from a column."""
        parts = (self.input, self.output, self.tags, self.topic, *self.columns.values())
        places = [place for part in parts for place in _places(part)]
        return any(_is_at(column, place) for place in places)

    def with_parts_of(self, other: "ColumnMapping") -> "ColumnMapping":
        """Return this mapping with the parts that another one has."""
        return ColumnMapping(
            other.input or self.input,
            other.output or self.output,
            other.tags or self.tags,
            other.topic or self.topic,
            {**self.columns, **other.columns},
        )

    def read(self, row: Row) -> Example:
        """Return the example of a row; without a value for the output it has no reference.

        Raises:
            ValueError: The row has no value for the input, or for a slot of a template.
        """
        question = _value(row, self.input)
        if is_empty(question):
            keys = ", ".join(row) or "none"
            raise ValueError(f"it has no value for the input {self.input!r} (its keys: {keys})")
        answer = None if self.output is None else _value(row, self.output)
        reference = None if is_empty(answer) else answer
        messages = messages_of(question)
        chat = None if messages is None else conversation(messages, reference)
        columns = {name: value_at(row, place) for name, place in self.columns.items()}
        return Example(
            question if chat is None else chat.input,
            reference if chat is None else chat.reference,
            () if self.tags is None else tags_of(value_at(row, self.tags)),
            None if self.topic is None else topic_of(value_at(row, self.topic)),
            () if chat is None else chat.messages,
            columns={name: value for name, value in columns.items() if not is_empty(value)},
            is_assembled=not isinstance(self.input, str) or not isinstance(self.output, str | None),
        )


def _places(part: Expression | None) -> list[str]:
    """Return the columns and paths of a part."""
    expressions = [part] if isinstance(part, str) else list((part or {}).values())
    return [
        place
        for text in expressions
        for place in ([slot.strip() for slot in _SLOT.findall(text)] or [text])
    ]


def _is_at(column: str, path: str) -> bool:
    """Whether a path is a column, or leads into it."""
    name, place = column.strip().casefold(), path.strip().casefold()
    return place == name or (place.startswith(name) and place[len(name)] in ".[")


def _value(row: Row, expression: Expression) -> object | None:
    if isinstance(expression, str):
        return value_at(row, expression)
    members = {name: value_at(row, place) for name, place in expression.items()}
    return None if all(map(is_empty, members.values())) else members


def value_at(row: Row, expression: str) -> object | None:
    """Return the value of a column, a path or a template; None if there is none.

    Empty cells leave their slots of a template empty.

    Raises:
        ValueError: A slot of a template names nothing that the row has.
    """
    if expression in row or not _SLOT.search(expression):
        return _at_path(row, expression)
    values = {slot: _slot_value(row, slot.strip()) for slot in _SLOT.findall(expression)}
    if all(map(is_empty, values.values())):
        return None
    return _SLOT.sub(lambda slot: _slot_text(values[slot.group(1)]), expression).strip()


def _slot_value(row: Row, path: str) -> object | None:
    value = _at_path(row, path)
    if value is None and _at_path(dict.fromkeys(row, True), path) is None:
        raise ValueError(f"it has no value for {{{{{path}}}}}")
    return value


def _slot_text(value: object) -> str:
    return "" if is_empty(value) else text_of_value(value)


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
    key = step.group(1) or step.group(2)
    entries = list_of(value) if _NUMBER.fullmatch(key) else None
    if entries is not None:
        place = int(key)
        return entries[place] if -len(entries) <= place < len(entries) else None
    members = object_of(value) or {}
    return members.get(key, (columns or {}).get(key.strip().casefold()))
