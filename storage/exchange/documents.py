"""JSON documents that hold several rows: SQuAD, pages of Hugging Face, suites of tests."""

from typing import Final

from storage.exchange.column_names import INPUTS, plain_name
from storage.exchange.columns import Row
from storage.exchange.examples import list_of, object_of

_LISTS: Final = ("data", "tests", "rows", "items", "examples", "samples")
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
    for key in _LISTS:
        entries = [object_of(entry) for entry in list_of(document.get(key)) or []]
        objects = [entry for entry in entries if entry is not None]
        if objects and len(objects) == len(entries):
            return [row for entry in objects for row in _rows_within(entry)]
    return None


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
