"""Errors of the store.

WorkbenchError                 the root: its text is one sentence for the reader
├── Refusal                    what was asked cannot be done
└── StorageError               something about the project on disk
├── NotAProject            the folder holds no project.kiln
├── ProjectExists          a project is there already
├── RecordNotFound         no record has this id or name
├── AmbiguousName          several records have this name
├── InvalidName            a name cannot be stored
├── InvalidRecord          a record breaks a rule of the format
├── UnreadableRecord       one file cannot be used; the rest of the project works
│   ├── CorruptRecord      broken JSON, a wrong type, a missing field
│   ├── UnreadableProject  project.kiln itself
│   └── NewerFormat        written by a newer program
├── UnsafePath             a path would leave its folder, or is not to be touched
├── StaleRevision          somebody changed the record since it was read
│   └── ParentTakenAway    what it is to be saved below is gone
├── AlreadyDeleted         what is to be deleted is gone
├── ProjectBusy            another process holds the project's lock for too long
└── WriteFailed            the disk refused a write; nothing was changed
├── ReadOnlyProject    no permission to write here
└── DiskFull           no space left
"""

import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, JsonValue

from storage.text.characters import repair_surrogates
from storage.text.excerpts import arguments_by_name, defuse, excerpt, excerpts, with_excerpts
from storage.text.kind_words import kind_word, listed_by

_LONGEST_SAID = 60
_LONGEST_PATH = 200
_TWO_STOPS = re.compile(r"""(?<=[^\s./'"])\.\.(?=\s|$)""")


class WorkbenchError(Exception):
    """The root of every error whose text is meant for the person or model that reads it.

    The text is one or two sentences: what happened, the valid values where there are any, and
    the next step. Every door shows it as it is. Where a quoted reason brings a full stop of its
    own, only one stays. Of what the constructor was given the sentence shows an excerpt, with
    control characters escaped.
    """

    _arguments: Mapping[str, object] = MappingProxyType({})

    def __new__(cls, *args: Any, **keywords: Any) -> Self:
        """Remember what the error is made of, before its sentence is written."""
        error = super().__new__(cls, *args, **keywords)
        error._arguments = arguments_by_name(cls, args, keywords)
        return error

    def __init__(self, sentence: str = "") -> None:
        text = with_excerpts(repair_surrogates(sentence), self._arguments)
        super().__init__(_TWO_STOPS.sub(".", defuse(text)))


class NextStep(BaseModel):
    """A call that helps, as data: the doors show it, and a test checks it against the catalogue.

    The store itself suggests none: it knows no tools.

    Attributes:
        tool: The capability's name.
        reason: What the call is good for, in the imperative: "measure it".
        arguments: The arguments that are known already.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str
    reason: str
    arguments: Mapping[str, JsonValue] | None = None

    def __str__(self) -> str:
        return f"{self.tool}: {self.reason}"


class Refusal(WorkbenchError):
    """What was asked cannot be done; the sentence says why, and what to do instead.

    The class of all errors that nobody tells apart by type.
    """

    def __init__(
        self, sentence: str, /, *, next: Sequence[NextStep] = (), **values: object
    ) -> None:
        """Write the sentence.

        Args:
            sentence: With a named slot for each value: "There is no eval '{name}'."
            next: Calls that help; shown after the sentence.
            values: What the slots show: an excerpt of each, lists with commas.
        """
        self.next = tuple(next)
        excerpts_by_slot = {name: _show(value) for name, value in values.items()}
        steps = "".join(f" Next: {step}." for step in self.next)
        super().__init__(f"{sentence.format_map(excerpts_by_slot)}{steps}")


def _show(value: object) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        items: Sequence[object] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return excerpts(items)
    return excerpt(value)


def system_reason(error: OSError | ValueError) -> str:
    """Return what the system says of a file, in words without its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].casefold() + error.strerror[1:]
    return str(error)


class StorageError(WorkbenchError):
    """Something about the project on disk is not as it must be."""


class NotAProject(StorageError):
    """The folder holds no project.kiln."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        is_there = os.path.exists(folder)  # noqa: PTH110 - raises nothing, however long it is
        what = "holds no project.kiln" if is_there else "does not exist"
        super().__init__(
            f"{folder} is not a project: it {what}. Give the folder that holds project.kiln, "
            "or create a project there."
        )


class ProjectExists(StorageError):
    """A project is there already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} holds a project already. Open it, or choose another folder.")


class RecordNotFound(StorageError):
    """No record has this id or name."""

    def __init__(self, kind: str, wanted: str, close: Sequence[str] = ()) -> None:
        self.kind, self.wanted, self.close = kind, wanted, tuple(close)
        word = kind_word(kind)
        lister = listed_by(word)
        others = f" {lister} lists those that there are." if lister else ""
        hint = f" Close to it: {', '.join(close)}." if close else others
        super().__init__(f"There is no {word} with the id or name {wanted!r}.{hint}")


class ParentNotThere(StorageError):
    """What a deleted record lay below is not there any more.

    Attributes:
        key: What is to be put back first; None where it is not in the trash.
    """

    def __init__(self, what: str, parent: str, key: str | None) -> None:
        self.key = key
        first = (
            f"Put back {parent} first, by its key {key}"
            if key
            else f"Bring back {parent} first, by undoing its deletion, which the history shows"
        )
        super().__init__(
            f"{what[:1].upper()}{what[1:]} was not put back: what it lay below is not there. "
            f"{first}; nothing has been changed."
        )


class ThereAgain(StorageError):
    """A deleted record is there again already."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what[:1].upper()}{what[1:]} was not put back: it is there again already, for "
            "somebody else kept it or brought it back. To have it as it is in the trash, delete "
            "it and put it back from there; nothing has been changed."
        )


class AmbiguousName(StorageError):
    """Several records have this name."""

    def __init__(self, kind: str, name: str, ids: Sequence[str]) -> None:
        self.kind, self.name, self.ids = kind, name, tuple(ids)
        super().__init__(
            f"{len(ids)} records of kind {kind_word(kind)} are named {name!r}. Give one of the "
            f"ids instead: {', '.join(ids)}."
        )


class InvalidQuery(StorageError):
    """A filter or cursor that does not exist."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"Nothing was looked up: {reason}.")


class InvalidName(StorageError):
    """A name cannot be stored.

    Attributes:
        suggestion: The nearest name that can.
    """

    def __init__(self, name: str, reason: str, suggestion: str) -> None:
        self.name, self.reason, self.suggestion = name, reason, suggestion
        begins = name if len(name) <= _LONGEST_SAID else f"{name[:_LONGEST_SAID]}…"
        hint = f"{suggestion!r} would do" if suggestion else "Give it at least one character"
        super().__init__(f"The name {begins!r} {reason}. {hint}.")


class InvalidRecord(StorageError):
    """A record breaks a rule of the format."""

    def __init__(self, kind: str, reason: str) -> None:
        self.kind, self.reason = kind, reason
        super().__init__(
            f"This {kind_word(kind)} cannot be saved: {reason}. Nothing has been changed."
        )


class UnreadableRecord(StorageError):
    """One file cannot be used; the rest of the project works.

    Attributes:
        path: The file, within the project, with forward slashes.
        reason: What is wrong with it.
    """

    def __init__(self, path: str, reason: str, advice: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}. {advice}")


class CorruptRecord(UnreadableRecord):
    """Broken JSON, a wrong type or a missing field."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            path,
            reason,
            "All else works. Mend the file by hand, have its earlier version back with "
            "undo_change where the project is shared, or put it into the trash with "
            "delete_records, by its id.",
        )


class UnreadableProject(UnreadableRecord):
    """The project's own file cannot be used, so the project cannot be opened."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        super().__init__(
            str(folder / "project.kiln"),
            reason,
            "The project cannot be opened without it. Put back an earlier version of that file, "
            "from a backup or with git, and open the project again; nothing has been changed.",
        )


class NewerFormat(UnreadableRecord):
    """Written by a newer program."""

    def __init__(self, path: str, version: object) -> None:
        super().__init__(
            path,
            f"format version {version!r} is newer than 1, the newest that is known here",
            "Upgrade this program to read it; it has been left as it is.",
        )


class UnsafePath(StorageError):
    """A path would leave its folder, or is not to be touched.

    Attributes:
        path: The path.
        reason: What it is, such as "is a link".
    """

    def __init__(self, path: str, reason: str = "would leave the project's folder") -> None:
        self.path, self.reason = path, reason
        shown = path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}…"
        super().__init__(
            f"The path {shown!r} {reason}, so nothing is read or written there, and nothing has "
            "been changed. Use a relative path of a record or a file beside one, without '..' and "
            "through no link; move a link that is in the way out of the project."
        )


class StaleRevision(StorageError):
    """Somebody changed the record since it was read."""

    def __init__(self, path: str, who: str | None, when: datetime | None) -> None:
        self.path, self.who, self.when = path, who, when
        change = "was taken away" if when is None else f"was changed at {when:%Y-%m-%d %H:%M:%S %Z}"
        super().__init__(
            f"{path} {change} by {who or 'another program'} since it was read. Nothing has been "
            "saved: read the record again and repeat the change."
        )


class ParentTakenAway(StaleRevision):
    """What a new record is to be saved below is not there any more."""

    def __init__(self, parent: str) -> None:
        self.path, self.who, self.when = parent, None, None
        StorageError.__init__(
            self,
            f"{parent} was taken away by another program since it was read, so nothing can be "
            "saved below it. Nothing has been saved: put it back from the trash, or save "
            "elsewhere.",
        )


class AlreadyDeleted(StorageError):
    """What is to be deleted is not there any more."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"{path} was deleted already, or moved by another program. Nothing has been changed: "
            "the trash says what was deleted, when, and by whom."
        )


class ProjectBusy(StorageError):
    """Another process holds the project's lock for too long."""

    def __init__(self, folder: Path, seconds: float) -> None:
        super().__init__(
            f"Another process has been writing to {folder} for {seconds:.0f} seconds. Nothing has "
            "been changed: try again, or close the other program."
        )


class WriteError(StorageError):
    """The disk refused a write; nothing was changed."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path} could not be written: {reason}. Nothing has been changed.")


class ReadOnlyProject(WriteError):
    """There is no permission to write here."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "the folder or file is read-only for this user")


class DiskFull(WriteError):
    """There is no space left."""

    def __init__(self, path: Path, state: str = "the disk is full") -> None:
        super().__init__(path, f"{state}; free some space and repeat")
