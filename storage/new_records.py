"""Records that were never saved: their text, and where their files go."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

from pydantic import JsonValue

from storage.format.layout import place_of
from storage.index.rows import name_of
from storage.records import Record
from storage.records.names import folder_name
from storage.refusals import invalid_record
from storage.text.json_text import write_json
from storage.text.kind_words import kind_word

R = TypeVar("R", bound=Record)


class SaveOutcome(Enum):
    """The outcome of saving a record unless it exists.

    SAVED: It will be saved.
    THERE: It was saved before.
    TAKEN: Another record has its id.
    """

    SAVED = auto()
    THERE = auto()
    TAKEN = auto()


@dataclass(frozen=True, slots=True)
class NewRecord(Generic[R]):
    """A record that was never saved, with the bytes of its file: it is encoded once.

    Attributes:
        record: The record.
        content: The bytes.
    """

    record: R
    content: bytes


def new_text(record: Record) -> bytes:
    """Return the bytes of a new record's file.

    Raises:
        StorageError: It has a number that JSON cannot hold, or a lone surrogate.
    """
    return encode_text(record, lambda: text_of(record))


def text_of(record: Record) -> str:
    """Return the text of a new record's file.

    Raises:
        ValueError: It has a number that JSON cannot hold.
    """
    data: dict[str, JsonValue] = record.model_dump(mode="json")
    return write_json(data)


def new_path(record: Record, parent: Record | None) -> str:
    """Return the file of a new record below its parent, within the project.

    Raises:
        StorageError: It is of a kind that does not lie below the parent.
    """
    if parent is None:
        raise invalid_record(record.type_name(), "a new record needs the parent to save it below")
    place = place_of(type(record))
    if type(parent) not in place.parents:
        parent_kinds = ", ".join(kind_word(kind.type_name()) for kind in place.parents)
        raise invalid_record(record.type_name(), f"its parent must be a {parent_kinds}")
    own = folder_name(record.id, name_of(record))
    above = parent.saved.path.rpartition("/")[0]
    below = f"{place.folder}/{own}/{place.file_name}"
    return f"{above}/{below}" if above else below


def encode_text(record: Record, text: Callable[[], str]) -> bytes:
    """Return the bytes of a record's text.

    Raises:
        StorageError: It has a number that JSON cannot hold, or a lone surrogate.
    """
    try:
        return text().encode("utf-8")
    except ValueError as error:
        raise invalid_record(record.type_name(), str(error)) from error
