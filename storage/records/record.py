"""What every record and every part of one has in common."""

import getpass
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from random import Random
from typing import Annotated, Final, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails

from storage.records.names import (
    LONGEST_SHORT_NAME,
    TYPED,
    check_name,
    name_to_store,
    shown_name,
    shown_name_of,
    stored_name,
    typed_name,
)
from storage.refusals import invalid_record
from storage.text.excerpts import excerpt

FORMAT_VERSION = 1
_IDS: Final = 10**12
_random: Final = Random()
"""Seeded by the system: asking it for each id costs a call of the kernel."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)
_DEFAULTS: Final[Mapping[str, object]] = {
    "id": "0" * 12,
    "created_at": datetime(1970, 1, 1, tzinfo=UTC),
    "created_by": "unknown",
}
"""Of what a file left out."""


def new_id() -> str:
    """Return a new random id: 12 decimal digits."""
    return f"{_random.randrange(_IDS):012}"


def new_job_id() -> str:
    """Return a new random id of a job: 8 hexadecimal digits."""
    return f"{_random.getrandbits(32):08x}"


@contextmanager
def ids_from(seed: str) -> Generator[None]:
    """Draw this process's ids from a seed for as long as the block lasts, as tests do."""
    state = _random.getstate()
    _random.seed(seed)
    try:
        yield
    finally:
        _random.setstate(state)


@lru_cache(maxsize=1)
def login_name() -> str:
    """Return who is at work: the name that the operating system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@dataclass(frozen=True, slots=True)
class FromDisk:
    """Validation context of text that is on disk: names are shown as they are, never refused."""


def _name(text: str, info: ValidationInfo) -> str:
    if isinstance(info.context, FromDisk):
        return shown_name(text)
    check_name(text)
    return typed_name(text)


def _part_name(text: str, info: ValidationInfo) -> str:
    return shown_name(text) if isinstance(info.context, FromDisk) else check_name(text)


def _short_name(text: str, info: ValidationInfo) -> str:
    if isinstance(info.context, FromDisk):
        return shown_name(text)
    return check_name(text, LONGEST_SHORT_NAME)


def _keep_typed(value: object, info: ValidationInfo) -> object:
    """Take a record's name as it was typed from the key that holds it, or put it there."""
    if not isinstance(value, dict):
        return value
    data = cast("dict[str, object]", value)
    name = data.get("name")
    if not isinstance(name, str):
        return data
    if isinstance(info.context, FromDisk):
        return {**data, "name": shown_name_of(data)} if TYPED in data else data
    input_name = typed_name(name)
    without = {key: item for key, item in data.items() if key != TYPED}
    return (
        without
        if input_name == shown_name(name_to_store(input_name))
        else {**without, TYPED: input_name}
    )


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.astimezone()


def _current_time() -> datetime:
    return datetime.now(UTC)


def _stable_defaults(value: object, info: ValidationInfo) -> object:
    """Give what a file left out the same value at each reading, so that it is no change."""
    if isinstance(info.context, FromDisk) and isinstance(value, dict):
        data = cast("dict[str, object]", value)
        return data if _DEFAULTS.keys() <= data.keys() else {**_DEFAULTS, **data}
    return value


Name = Annotated[str, AfterValidator(_name), PlainSerializer(name_to_store)]
"""A record's name of up to 120 characters, in memory as people see it."""

PartName = Annotated[str, AfterValidator(_part_name), PlainSerializer(stored_name)]
"""A name within a record, up to 120 characters, shown as its file alone says."""

ShortName = Annotated[str, AfterValidator(_short_name), PlainSerializer(stored_name)]
"""A name of up to 32 characters."""

Text = Annotated[str, Field(min_length=1)]
"""Text that is not empty."""

Moment = Annotated[datetime, AfterValidator(_aware)]
"""A time with its zone; older files without one mean local time."""


class Part(BaseModel):
    """A value inside a record. Keys that are not known here are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=(), defer_build=True)

    def replace(self, **changes: object) -> Self:
        """Return a copy with some fields changed and all of it checked again.

        Raises:
            StorageError: The new values break a rule of the format.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields}
        try:
            return type(self).model_validate({**values, **(self.model_extra or {}), **changes})
        except ValidationError as error:
            kind = type(self).model_fields.get("model_type")
            name = str(kind.default) if kind else type(self).__name__
            raise invalid_record(name, first_fault(error)) from error


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record was read from.

    Attributes:
        path: Its file, within the project, with forward slashes.
        revision: Fingerprint of the file's bytes.
    """

    path: str
    revision: str


class Record(Part):
    """One file of a project. `model_type`, the last field of each kind, names the kind."""

    v: int = FORMAT_VERSION
    id: str = Field(default_factory=new_id, pattern=r"^[^/\\\x00-\x1f]+$")
    created_at: Moment = Field(default_factory=_current_time)
    created_by: str = Field(default_factory=login_name)

    _origin: Origin | None = PrivateAttr(default=None)
    _input_name = model_validator(mode="before")(_keep_typed)
    _defaults = model_validator(mode="before")(_stable_defaults)

    @property
    def origin(self) -> Origin | None:
        """Where this was read from or saved to; None for a record that was never saved."""
        # Ten times as fast as pydantic's way to a private attribute, thousands of times.
        private = self.__pydantic_private__
        return private["_origin"] if private else self._origin

    @property
    def saved(self) -> Origin:
        """Where this was read from or saved to.

        Raises:
            StorageError: It was never saved.
        """
        if (origin := self.origin) is None:
            raise invalid_record(self.type_name(), "it was never saved to a project")
        return origin

    @property
    def program(self) -> str | None:
        """The code that lies in a file beside the record; None if there is none."""
        return None

    def at(self, origin: Origin | None) -> Self:
        """Return the same record, known to come from somewhere else."""
        copy = self.model_copy()
        copy._origin = origin
        return copy

    def set_origin(self, origin: Origin) -> None:
        """Note where this was read from; only for its reader, before anybody else has it."""
        self._origin = origin

    def replace(self, **changes: object) -> Self:
        """Return a copy with some fields changed, of the same file and revision."""
        copy = super().replace(**changes)
        if (origin := self.origin) is not None:
            copy._origin = origin
        return copy

    @classmethod
    def type_name(cls) -> str:
        """Return the kind's name, such as "task_run"."""
        return _type_name(cls)


@cache
def _type_name(kind: type[Record]) -> str:
    return str(kind.model_fields["model_type"].default)


class NestedRecord(Part):
    """A part that the format stores like a file of its own, with an id and a null path."""

    v: int = FORMAT_VERSION
    id: str = Field(default_factory=new_id)
    path: None = None
    created_at: Moment = Field(default_factory=_current_time)
    created_by: str = Field(default_factory=login_name)

    _defaults = model_validator(mode="before")(_stable_defaults)


_FAULTS: Final[Mapping[str, str]] = {
    "missing": "it is missing",
    "string_type": "it is no text",
    "string_too_short": "it is empty",
    "float_parsing": "it is no number",
    "float_type": "it is no number",
    "finite_number": "it is no finite number",
    "int_parsing": "it is no whole number",
    "int_type": "it is no whole number",
    "int_from_float": "it is no whole number",
    "bool_parsing": "it is neither true nor false",
    "bool_type": "it is neither true nor false",
    "list_type": "it is no list",
    "tuple_type": "it is no list",
    "dict_type": "it is no object",
    "model_type": "it is no object",
    "datetime_type": "it is no date and time",
    "datetime_parsing": "it is no date and time",
    "datetime_from_date_parsing": "it is no date and time",
    "string_pattern_mismatch": "it holds a character that is not allowed there",
}
"""Faults in words, by the type that pydantic gives them; others have their own words."""


def fault_text(fault: ErrorDetails) -> str:
    """Return what is wrong, in words that need no knowledge of pydantic."""
    if fault["loc"][-1:] == ("id",) and fault["type"] == "string_pattern_mismatch":
        return "it is empty, or has a slash or a character that nobody can see"
    if fault["type"] == "literal_error":
        return f"it is none of {fault.get('ctx', {}).get('expected', 'its values')}"
    return _FAULTS.get(fault["type"], fault["msg"].removeprefix("Value error, "))


def first_fault(error: ValidationError) -> str:
    """Return the first fault of a validation as "field: what is wrong"."""
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in fault["loc"])
    remainder = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{excerpt(where) + ': ' if where else ''}{excerpt(fault_text(fault))}{remainder}"
