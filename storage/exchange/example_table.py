"""The examples of a table's rows, by a mapping or by the shape that is recognised."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Final, Protocol, runtime_checkable

from storage.errors import Refusal
from storage.exchange.column_map import ColumnMapping
from storage.exchange.column_names import OUTPUTS, plain_name
from storage.exchange.columns import BadRow, Row
from storage.exchange.documents import column_rows, document_rows
from storage.exchange.examples import Example
from storage.exchange.mapping_guess import is_like_output, mapping_guess
from storage.exchange.preferences import PreferencePairs
from storage.exchange.refusals import unusable_table
from storage.exchange.shapes import SHAPES, UsualColumns, shape_of
from storage.exchange.table_source import TableSource
from storage.exchange.traces import TraceFormat, examples_of_traces, trace_format_of

_SAMPLE: Final = 100
"""Rows that a shape is recognised by."""
_MOST_COLUMNS: Final = 100
_LONGEST_NAME: Final = 40


@runtime_checkable
class _Reader(Protocol):
    def read(self, row: Row, /) -> Example: ...


@dataclass(frozen=True, slots=True)
class ExampleTable:
    """A table whose rows are read as examples.

    Attributes:
        source: The table.
        columns: The keys of the first rows.
        shape: The name of the shape that was recognised; None with a mapping, or if none was.
        mapping: The mapping that is used, or the best guess at one.
        is_guess: Whether neither a mapping nor a shape says how rows are read, so that a person
            has to confirm the guess.
    """

    source: TableSource
    columns: tuple[str, ...]
    shape: str | None
    mapping: ColumnMapping | None
    is_guess: bool
    _reader: _Reader | TraceFormat | None = None

    def __iter__(self) -> Iterator[tuple[int, Example | BadRow]]:
        """Return each row's number, and its example or what is wrong with it."""
        reader = self._reader
        if reader is not None and not isinstance(reader, _Reader):
            rating = self.mapping.columns.get("rating") if self.mapping else None
            yield from examples_of_traces(self.source.rows(), reader, rating)
            return
        for number, row in _rows_of_documents(self.source.rows()):
            for example in _examples(number, row, reader):
                yield number, example

    @property
    def is_traces(self) -> bool:
        """Whether the rows are parts of traces."""
        return self._reader is not None and not isinstance(self._reader, _Reader)

    @property
    def unused_columns(self) -> list[str]:
        """The columns that nothing is taken from; none for a shape with keys of its own."""
        if self.mapping is None or (self.shape is not None and self.shape != UsualColumns.name):
            return []
        return [column for column in self.columns if not self.mapping.uses(column)]

    def check_certain(self) -> None:
        """Refuse a table of which it is only guessed how its rows are read.

        Raises:
            Refusal: It is one.
        """
        if self.is_guess:
            raise _unknown_shape(self.columns, self.mapping)


def example_table(source: TableSource, mapping: ColumnMapping | None = None) -> ExampleTable:
    """Return a table of examples; its first rows are read.

    A mapping without an input takes the rest from what is recognised.

    Raises:
        Refusal: The table cannot be read, or has no row.
    """
    sample = list(islice(source.rows(), _SAMPLE))
    if not sample:
        raise unusable_table(f"{source.file_name} has no row")
    raw_rows = [row for _, row in sample if not isinstance(row, str)]
    traces = None if mapping and mapping.input else trace_format_of(raw_rows)
    if traces is not None:
        return ExampleTable(source, (), traces.name, mapping, is_guess=False, _reader=traces)
    rows = [row for _, row in _rows_of_documents(iter(sample)) if not isinstance(row, str)]
    columns = tuple(islice(dict.fromkeys(key for row in rows for key in row), _MOST_COLUMNS))
    if mapping is not None and mapping.input:
        return ExampleTable(source, columns, None, mapping, is_guess=False, _reader=mapping)
    shape = shape_of(rows)
    name = shape.name if shape else None
    guess = mapping_guess(name, columns)
    if name == UsualColumns.name and guess is not None and not _has_usual_output(guess):
        is_sure = guess.output is None or not is_like_output(str(guess.output))
        guess = replace(guess, output=None) if is_sure else guess
        shape, name = (shape, name) if is_sure else (None, None)
    if mapping is not None and guess is not None:
        guess = guess.with_parts_of(mapping)
        return ExampleTable(source, columns, None, guess, is_guess=False, _reader=guess)
    is_guess = shape is None and bool(rows)
    return ExampleTable(source, columns, name, guess, is_guess, _reader=shape or guess)


def _has_usual_output(guess: ColumnMapping) -> bool:
    return plain_name(str(guess.output)) in OUTPUTS


def _rows_of_documents(rows: Iterator[tuple[int, Row | str]]) -> Iterator[tuple[int, Row | str]]:
    """Return rows; a document that holds several is taken apart."""
    start = list(islice(rows, 2))
    is_document = len(start) == 1
    for number, row in chain(start, rows):
        documents = None if isinstance(row, str) else document_rows(row)
        if documents is None and is_document and not isinstance(row, str):
            documents = column_rows(row)
        if documents is None:
            yield number, row
        else:
            yield from ((number, inner) for inner in documents)


def _examples(number: int, row: Row | str, reader: _Reader | None) -> tuple[Example | BadRow, ...]:
    if isinstance(row, str) or reader is None:
        return (BadRow(number, str(row)),)
    try:
        return reader.read_all(row) if isinstance(reader, PreferencePairs) else (reader.read(row),)
    except (ValueError, RecursionError) as error:
        return (BadRow(number, str(error)),)


def _unknown_shape(columns: Sequence[str], guess: ColumnMapping | None) -> Refusal:
    # A file of one column may be no table at all: what it begins with may be a secret.
    names = tuple(name[:_LONGEST_NAME] for name in columns[:10]) if len(columns) > 1 else ()
    return Refusal(
        "No row was added: it is not clear which columns hold the inputs and the right outputs. "
        "The table has {columns}. Give a mapping such as {example}; preview=true shows what comes "
        "of it. Without one, these are recognised: {shapes}.",
        columns=names or "one column of another name",
        example=_mapping_text(guess) if names else '{"input": "question", "output": "answer"}',
        shapes=tuple(shape.name for shape in SHAPES),
    )


def _mapping_text(mapping: ColumnMapping | None) -> str:
    parts = {"input": mapping.input, "output": mapping.output} if mapping else {}
    pairs = (f'"{name}": "{place}"' for name, place in parts.items() if place)
    return f"{{{', '.join(pairs)}}}"
