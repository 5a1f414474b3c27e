"""A guess at which columns of a table hold what, for a person to confirm or change."""

from collections.abc import Mapping, Sequence
from typing import Final

from storage.exchange.column_map import OTHER_COLUMNS, ColumnMapping
from storage.exchange.column_names import INPUTS, OUTPUTS, TOPICS, plain_name

_OF_SHAPES: Final[Mapping[str, tuple[str, str | None]]] = {
    "OpenAI chat messages": ("messages", None),
    "OpenAI evals samples": ("input", "ideal"),
    "ShareGPT conversations": ("conversations", None),
    "Inspect samples": ("input", "target"),
    "multiple-choice questions": ("question", "answer"),
    "promptfoo tests": ("vars", None),
    "SQuAD questions": ("{{context}}\n\n{{question}}", "answers.text.0"),
    "Langfuse dataset items": ("input", "expectedOutput"),
    "LangSmith examples": ("inputs", "outputs"),
}
"""The mapping that comes nearest to what a shape reads; shapes read more than a mapping can."""


def mapping_guess(shape: str | None, columns: Sequence[str]) -> ColumnMapping | None:
    """Return a mapping that fits columns; None if there are none.

    Args:
        shape: The name of the shape that was recognised, if any.
        columns: The columns of the table.
    """
    if not columns:
        return None
    by_name = {plain_name(column): column for column in reversed(columns)}
    if shape in _OF_SHAPES:
        return ColumnMapping(*_OF_SHAPES[shape])
    question = _first(by_name, INPUTS) or columns[0]
    other_columns = [column for column in columns if column != question]
    names = {plain_name(column): column for column in reversed(other_columns)}
    answer = _first(names, OUTPUTS) or (other_columns[0] if len(other_columns) == 1 else None)
    details = by_name.get("input") or by_name.get("context")
    is_instruction = plain_name(question) == "instruction" or "instruction" in by_name
    if is_instruction and details:
        question = f"{{{{{by_name['instruction']}}}}}\n\n{{{{{details}}}}}"
    return ColumnMapping(
        question,
        answer,
        by_name.get("tags"),
        next((by_name[name] for name in TOPICS if name in by_name), None),
        {
            name: by_name[plain_name(name)]
            for name in OTHER_COLUMNS
            if plain_name(name) in by_name and by_name[plain_name(name)] != answer
        },
    )


def is_like_output(column: str) -> bool:
    """Whether a usual name for right outputs is a part of a column's name."""
    return any(name in plain_name(column) for name in OUTPUTS)


def _first(columns: Mapping[str, str], names: Sequence[str]) -> str | None:
    """Return the column with the most usual of some names, or with one as a part of its name."""
    exact = next((columns[name] for name in names if name in columns), None)
    if exact is not None:
        return exact
    return next((columns[own] for name in names for own in columns if name in own), None)
