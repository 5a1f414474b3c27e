"""Errors of the store, and the root of all errors.

WorkbenchError               the root: its text is one sentence for the reader.
├── Refusal                  a request cannot be carried out.
│   └── InvalidValue         a value of the request breaks a rule, whatever is saved.
└── StorageError             something about the project on disk.
    ├── RecordNotFound       no record has this id or name.
    ├── InvalidQuery         no such filter or cursor.
    ├── UnreadableRecord     one file cannot be used.
    │   └── CorruptRecord    broken JSON, a wrong type, a missing field.
    ├── UnsafePath           a path would leave its folder, or must not be touched.
    ├── StaleRevision        the record changed since it was read.
    ├── ProjectBusy          another process holds the project's lock for too long.
    └── WriteError           the disk refused a write.

Each of these classes is caught by its type somewhere. All other errors are a `Refusal`, or a
`StorageError` or `UnreadableRecord` that a function builds (`refusals.py`).
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, JsonValue

from storage.text.characters import repair_surrogates
from storage.text.excerpts import (
    arguments_by_name,
    defuse,
    excerpt,
    excerpts,
    length_of,
    with_excerpts,
)
from storage.text.kind_words import kind_word, split_handle
from storage.text.suggestions import valid_names

_READ_AGAIN = ". Nothing has been saved: read the record again and repeat the change."
_NO_PARENT = (
    ", so nothing can be saved below it. Nothing has been saved: restore it from the trash, or "
    "save elsewhere."
)
_TWO_STOPS = re.compile(r"""(?<=[^\s./'"])\.\.(?=\s|$)""")


class NextStep(BaseModel):
    """A call that helps, as data. The doors show it; a test checks it against the catalogue.

    The store itself suggests none, because it knows no tools.

    Attributes:
        tool: The capability's name.
        reason: What the call is good for, in the imperative: "measure it".
        arguments: The arguments whose values are certain.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    tool: str
    reason: str
    arguments: Mapping[str, JsonValue] | None = None

    def __str__(self) -> str:
        arguments = self.model_dump(mode="json")["arguments"]
        call = f"{self.tool} {json.dumps(arguments)}" if arguments else self.tool
        return f"{call}: {self.reason}"


class WorkbenchError(Exception):
    """The root of every error whose text is meant for the person or model that reads it.

    The text is one or two sentences: what happened, the valid values if there are any, and the
    next step. Every door shows it as it is. If a quoted reason brings a full stop of its own,
    only one stays. The sentence shows an excerpt of each of the constructor's arguments, with
    control characters escaped.

    Attributes:
        next: Calls that help; shown after the sentence.
    """

    next: tuple[NextStep, ...] = ()
    _arguments: Mapping[str, object] = MappingProxyType({})

    def __new__(cls, *args: Any, **keywords: Any) -> Self:
        """Keep the long arguments, before the sentence is written."""
        error = super().__new__(cls, *args, **keywords)
        error._arguments = arguments_by_name(cls, args, keywords)
        return error

    def __init__(self, sentence: str = "", *, next: Sequence[NextStep] = ()) -> None:
        self.next = tuple(next)
        steps = "".join(f" Next: {step}." for step in self.next)
        text = with_excerpts(repair_surrogates(f"{sentence}{steps}"), self._arguments)
        super().__init__(_TWO_STOPS.sub(".", defuse(text)))

    def replace_next(self, steps: Sequence[NextStep]) -> None:
        """Put other calls in the place of those that follow the sentence, one for each."""
        text = str(self)
        for old, new in zip(self.next, steps, strict=True):
            text = text.replace(f" Next: {old}.", f" Next: {new}.")
        self.args, self.next = (text,), tuple(steps)


class Refusal(WorkbenchError):
    """A request cannot be carried out; the sentence says why, and what to do instead.

    This is the class of all errors that nobody catches by their type.
    """

    def __init__(
        self, sentence: str, /, *, next: Sequence[NextStep] = (), **values: object
    ) -> None:
        """Write the sentence.

        Args:
            sentence: With a named slot for each value: "There is no eval '{name}'."
            next: Calls that help.
            values: The values of the slots, each shown as an excerpt; lists with commas. A slot
                with one of our own reasons has more room (`excerpts.REASON_NAMES`).
        """
        self._arguments = MappingProxyType({})  # the values are excerpts already
        excerpts_by_slot = {name: _show(value, length_of(name)) for name, value in values.items()}
        super().__init__(sentence.format_map(excerpts_by_slot), next=next)


class InvalidValue(Refusal):
    """A value of the request breaks a rule, whatever is saved: it has to be another one."""


def _show(value: object, longest: int) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        items: Sequence[object] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return excerpts(items)
    return excerpt(value, longest)


def system_reason(error: OSError | ValueError) -> str:
    """Return the system's reason for a failure with a file, without the error number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:1].casefold() + error.strerror[1:]
    return str(error)


class StorageError(WorkbenchError):
    """Something about the project on disk is not as it must be."""


class RecordNotFound(StorageError):
    """No record has this id or name.

    Attributes:
        kind: The kind of record, such as "task_run".
        reference: The id or name that was looked up.
        names: Valid names or ids, all or the first ones; None if unknown.
        count: How many valid ones there are.
    """

    def __init__(
        self,
        kind: str,
        reference: str,
        names: Sequence[str] | None = None,
        *,
        count: int | None = None,
        next: Sequence[NextStep] = (),
    ) -> None:
        self.kind, self.reference = kind, reference
        self.names = None if names is None else tuple(names)
        self.count = len(names or ()) if count is None else count
        named_kind, rest = split_handle(reference)
        hint = "" if names is None else valid_names(rest, names, self.count)
        if named_kind and kind_word(named_kind) != kind_word(kind):
            hint = f" That names the kind {kind_word(named_kind)}.{hint}"
        super().__init__(f"There is no {kind_word(kind)} {reference!r}.{hint}", next=next)

    def with_next(self, steps: Sequence[NextStep]) -> Self:
        """Return the same error with calls that help."""
        return type(self)(self.kind, self.reference, self.names, count=self.count, next=steps)


class InvalidQuery(StorageError):
    """No such filter or cursor."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"Nothing was looked up: {reason}.")


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
            "The rest of the project works. Mend the file by hand, restore its earlier version by "
            "undoing the change if the project is shared, or delete the record by its id.",
        )


class UnsafePath(StorageError):
    """A path would leave its folder, or must not be touched.

    Attributes:
        path: The path.
        reason: What is wrong with it, such as "is a link".
    """

    def __init__(self, path: str, reason: str = "would leave the project's folder") -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"The path {excerpt(path)!r} {reason}, so nothing is read or written there. Nothing "
            "has been changed. Use a relative path of a record or a file beside one, without '..' "
            "and through no link; move a link that is in the way out of the project."
        )


class StaleRevision(StorageError):
    """The record changed since it was read.

    Attributes:
        path: Its file, within the project.
        who: Who changed it; None if unknown.
        when: When; None if the file is not there.
    """

    def __init__(
        self, path: str, who: str | None, when: datetime | None, *, is_parent: bool = False
    ) -> None:
        self.path, self.who, self.when = path, who, when
        change = "was removed" if when is None else f"was changed at {when:%Y-%m-%d %H:%M:%S %Z}"
        super().__init__(
            f"{path} {change} by {who or 'another program'} since it was read"
            f"{_NO_PARENT if is_parent else _READ_AGAIN}"
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
