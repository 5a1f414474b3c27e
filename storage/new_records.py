"""Records that were never saved: their text, and where their files go."""

from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, Self, TypeVar

from pydantic import JsonValue

from storage.format.layout import place_of
from storage.format.record_text import parse_record
from storage.index.rows import RecordValues, name_of, values_of
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


class NewRecord(Generic[R]):
    """A record that was never saved, with the bytes of its file: it is encoded once.

    Attributes:
        kind: Its kind.
        content: The bytes.
    """

    __slots__ = ("_record", "_values", "content", "kind")

    def __init__(self, record: R, content: bytes) -> None:
        self.kind = type(record)
        self.content = content
        self._record: R | None = record
        self._values: RecordValues | None = None

    @classmethod
    def of_values(cls, kind: type[R], content: bytes, values: RecordValues) -> Self:
        """Return a record that another process has checked and spelled; few are read again.

        Args:
            kind: Its kind.
            content: The bytes of its file.
            values: Its values in the index.
        """
        new = cls.__new__(cls)
        new.kind, new.content, new._record, new._values = kind, content, None, values
        return new

    @property
    def record(self) -> R:
        """The record."""
        if self._record is None:
            self._record = parse_record(self.kind, self.content, "")
        return self._record

    @property
    def values(self) -> RecordValues:
        """Its values in the index."""
        if self._values is None:
            self._values = values_of(self.record)
        return self._values


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
    return path_below(parent, type(record), record.id, name_of(record))


def path_below(parent: Record | None, kind: type[Record], record_id: str, name: str) -> str:
    """Return the file of a new record of a kind; see `new_path`.

    Raises:
        StorageError: It is of a kind that does not lie below the parent.
    """
    if parent is None:
        raise invalid_record(kind.type_name(), "a new record needs the parent to save it below")
    place = place_of(kind)
    if type(parent) not in place.parents:
        parent_kinds = ", ".join(kind_word(parent.type_name()) for parent in place.parents)
        raise invalid_record(kind.type_name(), f"its parent must be a {parent_kinds}")
    own = folder_name(record_id, name)
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
