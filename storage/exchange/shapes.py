"""The shapes of tables that are recognised by their keys."""

from collections.abc import Sequence
from typing import Final, Protocol

from storage.exchange.chat_shapes import OpenAIChat, OpenAIEvals, ShareGPT, example_of
from storage.exchange.columns import Row
from storage.exchange.dataset_shapes import (
    Inspect,
    Instructions,
    LangfuseItems,
    LangSmithExamples,
    Promptfoo,
    PromptfooTable,
    SQuAD,
    row_keys,
)
from storage.exchange.examples import Example, fields_of, list_of, object_of

_INPUTS: Final = (
    "input",
    "question",
    "prompt",
    "query",
    "instruction",
    "userinput",
    "problem",
    "utterance",
    "text",
    "sentence",
    "article",
    "document",
    "dialogue",
)
_OUTPUTS: Final = (
    "output",
    "expectedoutput",
    "reference",
    "groundtruth",
    "answer",
    "completion",
    "response",
    "target",
    "label",
    "ideal",
    "expected",
    "summary",
    "highlights",
    "solution",
)


class Shape(Protocol):
    """A shape of rows that is recognised by its keys."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    def fits(self, row: Row, /) -> bool:
        """Whether a row has this shape."""
        ...

    def read(self, row: Row, /) -> Example:
        """Return the example of a row.

        Raises:
            ValueError: Something is wrong with the row; the text says what.
        """
        ...


class UsualColumns:
    """One column with a usual name for inputs, and at most one with a usual name for outputs."""

    name = "columns with usual names"

    def fits(self, row: Row) -> bool:
        """Whether exactly one column can be the input, and at most one the output."""
        keys = row_keys(row)
        inputs, outputs = _candidates(keys, _INPUTS), _candidates(keys, _OUTPUTS)
        return len(inputs) == 1 and len(outputs) <= 1

    def read(self, row: Row) -> Example:
        """Return the example of a row.

        Raises:
            ValueError: It has no input.
        """
        fields = fields_of(row)
        question = next((fields[key] for key in _INPUTS if key in fields), None)
        answer = next((fields[key] for key in _OUTPUTS if key in fields), None)
        return example_of(row, question, answer)


def _candidates(keys: set[str], names: Sequence[str]) -> list[str]:
    """Return the keys that can be meant; our own name for the column decides."""
    candidates = [name for name in names if name in keys]
    return candidates[:1] if candidates[:1] == [names[0]] else candidates


SHAPES: Final[tuple[Shape, ...]] = (
    OpenAIChat(),
    ShareGPT(),
    Instructions(),
    SQuAD(),
    OpenAIEvals(),
    Inspect(),
    Promptfoo(),
    PromptfooTable(),
    LangSmithExamples(),
    LangfuseItems(),
    UsualColumns(),
)
"""All shapes; of those that fit equally many rows, the first is taken."""


def shape_of(rows: Sequence[Row]) -> Shape | None:
    """Return the shape that fits the most of some rows; None if none fits half of them."""
    fits = {shape.name: sum(map(shape.fits, rows)) for shape in SHAPES}
    best = max(SHAPES, key=lambda shape: fits[shape.name])
    return best if rows and fits[best.name] * 2 >= len(rows) else None


def document_rows(document: Row) -> list[Row] | None:
    """Return the rows of a whole JSON document: SQuAD's, or an object with one list of objects.

    None if the document is itself a row.
    """
    for key in ("data", "tests", "rows", "items", "examples"):
        entries = [object_of(entry) for entry in list_of(document.get(key)) or []]
        objects = [entry for entry in entries if entry is not None]
        if objects and len(objects) == len(entries):
            return [row for entry in objects for row in _rows_within(entry)]
    return None


def _rows_within(entry: Row) -> list[Row]:
    """Return the rows of an entry: those of its paragraphs, the one it wraps, or itself."""
    inner = object_of(entry.get("row")) or object_of(entry.get("item"))
    if inner is not None:
        return [inner]
    paragraphs = list_of(entry.get("paragraphs"))
    if paragraphs is None:
        return [entry]
    return [
        {"title": entry.get("title"), "context": paragraph.get("context"), **question}
        for paragraph in map(object_of, paragraphs)
        if paragraph is not None
        for question in map(object_of, list_of(paragraph.get("qas")) or [])
        if question is not None
    ]
