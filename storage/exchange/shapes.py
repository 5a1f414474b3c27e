"""The shapes of tables that are recognised by their keys."""

from collections.abc import Sequence
from typing import Final, Protocol

from storage.exchange.chat_shapes import OpenAIChat, OpenAIEvals, ShareGPT, example_of
from storage.exchange.column_map import OTHER_COLUMNS
from storage.exchange.column_names import INPUTS, OUTPUTS, plain_name
from storage.exchange.columns import Row
from storage.exchange.dataset_shapes import (
    Inspect,
    Instructions,
    LangfuseItems,
    LangSmithExamples,
    MultipleChoice,
    Promptfoo,
    PromptfooTable,
    SQuAD,
    row_keys,
)
from storage.exchange.examples import Example, fields_of
from storage.exchange.preferences import LabelledCompletions, PreferencePairs
from storage.exchange.promptfoo_results import PromptfooResults

_OUR_COLUMNS: Final = {plain_name(name): name for name in OTHER_COLUMNS}
"""Our columns, by their names as `fields_of` has them."""


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

    name = "usual columns"

    def fits(self, row: Row) -> bool:
        """Whether exactly one column can be the input, and at most one the output."""
        keys = row_keys(row)
        inputs, outputs = _candidates(keys, INPUTS), _candidates(keys, OUTPUTS)
        return len(inputs) == 1 and len(outputs) <= 1

    def read(self, row: Row) -> Example:
        """Return the example of a row.

        Raises:
            ValueError: It has no input.
        """
        fields = fields_of(row)
        question = next((fields[key] for key in INPUTS if key in fields), None)
        answer = next((fields[key] for key in OUTPUTS if key in fields), None)
        columns = {name: fields[key] for key, name in _OUR_COLUMNS.items() if key in fields}
        return example_of(fields, question, answer, columns=columns)


def _candidates(keys: set[str], names: Sequence[str]) -> list[str]:
    """Return the keys that can be meant; our own name for the column decides."""
    candidates = [name for name in names if name in keys]
    return candidates[:1] if candidates[:1] == [names[0]] else candidates


SHAPES: Final[tuple[Shape, ...]] = (
    PreferencePairs(),
    LabelledCompletions(),
    Inspect(),
    OpenAIChat(),
    ShareGPT(),
    Instructions(),
    SQuAD(),
    OpenAIEvals(),
    PromptfooResults(),
    Promptfoo(),
    PromptfooTable(),
    LangSmithExamples(),
    LangfuseItems(),
    MultipleChoice(),
    UsualColumns(),
)
"""All shapes; of those that fit equally many rows, the first is taken."""


def shape_of(rows: Sequence[Row]) -> Shape | None:
    """Return the shape that fits the most of some rows; None if none fits half of them."""
    fits = {shape.name: sum(map(shape.fits, rows)) for shape in SHAPES}
    best = max(SHAPES, key=lambda shape: fits[shape.name])
    return best if rows and fits[best.name] * 2 >= len(rows) else None
