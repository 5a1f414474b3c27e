"""A conflict: two values of one field, or a deletion against a change.

People see it as a question with choices. The first decision counts for all.
"""

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from storage.border import TRASH, Reach, check_path
from storage.collaboration.record_changes import (
    LONGEST_EXCERPT,
    Document,
    as_text,
    excerpts,
    field_name,
    noun,
)
from storage.collaboration.three_way_merge import ABSENT, Absent, Value
from storage.errors import UnsafePath
from storage.records.names import display_label


class Choice(BaseModel):
    """One of the values; `absent` for removing the field or the record."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    absent: bool = False
    value: JsonValue = None

    @property
    def text(self) -> str:
        """The value as a person reads it."""
        return "absent" if self.absent else as_text(self.value)


def _inside(path: str) -> str:
    """Refuse a path that the file of a conflict must not name."""
    try:
        check_path(path, Reach.SHARED)
    except UnsafePath as error:
        raise ValueError("no path within the project") from error
    if path.startswith(f"{TRASH}/"):
        raise ValueError("no path within the project")
    return path


_Path = Annotated[str, AfterValidator(_inside)]


class Companion(BaseModel):
    """Another field that is decided with a conflict's own.

    Attributes:
        field: The keys that lead to it.
        choices: Its values, in the order of the conflict's choices.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    field: Annotated[tuple[str, ...], Field(min_length=1)]
    choices: Annotated[tuple[Choice, ...], Field(min_length=2, max_length=2)]


class Conflict(BaseModel):
    """A field with two values, or a record that one person deleted and another changed.

    The aliases are the keys of the conflict's file.

    Attributes:
        path: The record's file, or a file beside one.
        other: The file that holds the other version, if the conflict is about a whole file.
        field: The keys that lead to the field; none for the record as a whole.
        base: The value in the common ancestor.
        choices: The two values. A third one, set since then, comes last.
        companions: Fields that are decided together with this one, such as the instructions
            of a repair with its output.
        record_name: The record's name or beginning, as people know it. Not in the file.
        authors: Who made each choice, and when; "" if unknown. Not in the file, which is the
            same on all machines, whatever history each of them has.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    id: Annotated[str, Field(pattern="^[0-9a-f]+$")]
    path: _Path
    field: tuple[str, ...]
    other: _Path | None = None
    base: Annotated[Choice, Field(alias="before")]
    choices: Annotated[tuple[Choice, ...], Field(min_length=2, max_length=2)]
    companions: Annotated[tuple[Companion, ...], Field(alias="also")] = ()
    record_name: Annotated[str, Field(exclude=True)] = ""
    authors: Annotated[tuple[str, ...], Field(exclude=True)] = ()

    @property
    def text(self) -> str:
        """The question that a person is asked."""
        record = self.record_name or self.path.rpartition("/")[0].rpartition("/")[2]
        if self.other is not None:
            names = [PurePosixPath(path).name for path in (self.path, self.other)]
            return f"{record}: two people changed {names[0]}. Keep it, or {names[1]}?"
        if not self.field:
            return f"{record}: one deleted it and another changed it. Keep it?"
        if self._is_long:
            text = f"{record}: which {field_name(self.field)} is right?"
        else:
            *first, last = (choice.text for choice in self.choices)
            text = f"{record}: is the {field_name(self.field)} {', '.join(first)} or {last}?"
        if self.companions:
            names = ", ".join(field_name(companion.field) for companion in self.companions)
            text += f" Each comes with its {names}."
        return text

    @property
    def _is_long(self) -> bool:
        return any(len(choice.text) > LONGEST_EXCERPT for choice in self.choices)

    @property
    def options(self) -> tuple[str, ...]:
        """The choices as a person reads them, each with its author if known."""
        if self.other is not None:
            return tuple(str(choice.value) for choice in self.choices)
        if not self.field:
            texts = ["delete it" if choice.absent else "keep it" for choice in self.choices]
        else:
            texts = self._value_texts()
        authors = self.authors or ("",) * len(texts)
        return tuple(
            f"{text} ({author})" if author else text
            for text, author in zip(texts, authors, strict=True)
        )

    def _value_texts(self) -> list[str]:
        own = excerpts([choice.text for choice in self.choices])
        names = [field_name(companion.field) for companion in self.companions]
        columns = [
            excerpts([choice.text for choice in companion.choices]) for companion in self.companions
        ]
        return [
            ", ".join([value, *map(" ".join, zip(names, companion_values, strict=True))])
            for value, *companion_values in zip(own, *columns, strict=True)
        ]

    def values_of(self, number: int) -> list[tuple[tuple[str, ...], Choice]]:
        """Return each field that is decided, with its value in one of the choices."""
        companions = [(companion.field, companion.choices[number]) for companion in self.companions]
        return [(self.field, self.choices[number]), *companions]

    def subject(self, document: Document) -> str:
        """Return what is to be decided, such as "the overall rating of the run 'hi'".

        Args:
            document: The record's content; empty if the record does not exist.
        """
        if self.other is not None:
            return f"which {PurePosixPath(self.path).name} is kept"
        kind = noun(PurePosixPath(self.path).stem)
        record = f"the {kind} '{display_label(document)}'" if document else f"a {kind}"
        if not self.field:
            return f"whether {record} is kept"
        return f"the {field_name(self.field)} of {record}"


def value_at(document: Document, field: tuple[str, ...]) -> Value:
    """Return the value of a record's field; ABSENT if it has none."""
    value: JsonValue = document
    for key in field:
        if not isinstance(value, dict) or key not in value:
            return ABSENT
        value = value[key]
    return value


def choice_at(document: Document, field: tuple[str, ...]) -> Choice:
    """Return the value of a record's field as a choice."""
    return as_choice(value_at(document, field))


def as_choice(value: Value) -> Choice:
    """Return a value as a choice."""
    return Choice(absent=True) if isinstance(value, Absent) else Choice(value=value)
