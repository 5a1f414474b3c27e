"""JSON documents that hold several rows: SQuAD, pages of Hugging Face, suites of tests."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from storage.exchange.column_names import INPUTS, plain_name
from storage.exchange.columns import Row
from storage.exchange.examples import list_of, messages_of, object_of

_LISTS: Final = ("data", "results", "tests", "rows", "items", "examples", "samples")
_FEWEST_COLUMNS: Final = 2
_FEWEST_ROWS: Final = 2
_WRAPPERS: Final = ("row", "item")
_WRAPPER_KEYS: Final = frozenset({"row_idx", "row", "truncated_cells", "item", "sample"})
"""Keys of what a page of Hugging Face and a result of OpenAI wrap a row in."""
_ROW_KEYS: Final = frozenset(
    {*INPUTS, "messages", "conversations", "conversation", "vars", "inputs"}
)
"""An object with one of these is itself a row, whatever else it holds."""


def document_rows(document: Row) -> list[Row] | None:
    """Return the rows of a JSON document: SQuAD's, or an object with one list of objects.

    None if the document is itself a row.
    """
    if any(plain_name(key) in _ROW_KEYS for key in document):
        return None
    if _inner_row(document) or "paragraphs" in document:
        return _rows_within(document)
    results = object_of(document.get("results"))
    if results is not None and "results" in results:  # promptfoo's file of an eval
        document = {"data": results["results"]}
    names = _class_names(document)
    for key in _LISTS:
        entries = [object_of(entry) for entry in list_of(document.get(key)) or []]
        objects = [entry for entry in entries if entry is not None]
        if objects and len(objects) == len(entries):
            rows = [row for entry in objects for row in _rows_within(entry)]
            return [_with_names(row, names) for row in rows] if names else rows
    return None


def column_rows(document: Row) -> list[Row] | None:
    """Return the rows of a document that holds a list, or an object by row, for each column.

    None if it is no such document.
    """
    columns = [_cells(value) for value in document.values()]
    cells = [column for column in columns if column is not None]
    if len(cells) < max(len(columns), _FEWEST_COLUMNS) or len(set(map(len, cells))) > 1:
        return None
    is_talk = any(messages_of(column) is not None for column in cells)
    if len(cells[0]) < _FEWEST_ROWS or is_talk:
        return None
    return [dict(zip(document, row, strict=True)) for row in zip(*cells, strict=True)]


def _cells(value: object) -> list[object] | None:
    if isinstance(value, dict):
        entries = cast("dict[str, object]", value)
        return list(entries.values()) if all(key.isdecimal() for key in entries) else None
    return cast("list[object]", value) if isinstance(value, list) else None


def _class_names(document: Row) -> dict[str, list[object]]:
    """Return the names of the classes of each column that a page of Hugging Face numbers."""
    names: dict[str, list[object]] = {}
    for feature in map(object_of, list_of(document.get("features")) or []):
        kind = object_of(feature.get("type")) if feature else None
        classes = list_of(kind.get("names")) if kind else None
        if feature and classes:
            names[str(feature.get("name"))] = classes
    return names


def _with_names(row: Row, names: Mapping[str, Sequence[object]]) -> Row:
    """Return a row with the names of its classes in place of their numbers."""

    def value_of(column: str, value: object) -> object:
        classes = names.get(column, ())
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(classes):
            return value
        return classes[value]

    return {column: value_of(column, value) for column, value in row.items()}


def _rows_within(entry: Row) -> list[Row]:
    """Return the rows of an entry: those of its paragraphs, the one it wraps, or itself."""
    inner = _inner_row(entry)
    if inner:
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


def _inner_row(entry: Row) -> Row | None:
    if not entry.keys() <= _WRAPPER_KEYS:
        return None
    return next(filter(None, (object_of(entry.get(key)) for key in _WRAPPERS)), None)
