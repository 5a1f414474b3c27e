"""Handles: how a person names a record in one word, such as `spec/refunds` or `run-config/new`.

A handle is the kind, a slash and the slug of the name. Where several records of a kind have the
slug, the last digits of the id follow, or the id takes its place. A record without a name has its
id there.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from storage.errors import RecordNotFound
from storage.records.names import folded_name
from storage.records.record import Record
from storage.refusals import ambiguous_name
from storage.text.kind_words import kind_word, split_handle

_DIGITS: Final = 4
"""Characters of an id that tell records of one slug apart."""
_LONGEST_SLUG: Final = 60
_BETWEEN_WORDS: Final = re.compile(r"[\s_-]+")
_NO_LETTERS: Final = re.compile(r"[\W_]+")


class NameRow(NamedTuple):
    """What the index knows of a record's name.

    Attributes:
        path: Its file, within the project.
        id: Its id.
        name: Its name; "" if it has none.
        key: The form of the name that is compared.
    """

    path: str
    id: str
    name: str
    key: str


class NamedRecord(Protocol):
    """A saved record with a name."""

    @property
    def id(self) -> str:
        """Return its id."""
        ...

    @property
    def name(self) -> str:
        """Return its name."""
        ...


NamedT = TypeVar("NamedT", bound=NamedRecord)


def slug_of(name: str) -> str:
    """Return the words of a name, in small letters, with hyphens; "" if it has no letter."""
    text = unicodedata.normalize("NFC", folded_name(name))
    return _NO_LETTERS.sub("-", text).strip("-")[:_LONGEST_SLUG].rstrip("-")


def id_in_reference(kind: str, reference: str) -> str:
    """Return what stands for an id in a reference to a record of a kind."""
    named_kind, rest = split_handle(reference)
    return rest if named_kind == kind else reference.strip()


def row_named(kind: str, reference: str, rows: Sequence[NameRow]) -> NameRow:
    """Return the row that a reference means: by id, name, or handle, the closest form first.

    Letters may have another case, and words may be parted by hyphens, underscores or spaces.

    Args:
        kind: The format's name of the kind of all rows.
        reference: What a person or model gave.
        rows: The records that may be meant.

    Raises:
        RecordNotFound: None is meant.
        Refusal: Several are.
    """
    matches = _matches(kind, reference, rows)
    if not matches:
        raise RecordNotFound(kind, reference, list(dict.fromkeys(r.name or r.id for r in rows)))
    if len(ids := sorted({row.id for row in matches})) > 1:
        handles = handles_of(kind, rows)
        raise ambiguous_name(kind, reference, [handles[record_id] for record_id in ids])
    return min(matches, key=lambda row: (len(row.path), row.path))


def choose(kind: type[Record], candidates: Sequence[NamedT], reference: str) -> NamedT:
    """Return the record that a reference means, of some of a kind that were read already.

    Raises:
        RecordNotFound: None is meant.
        Refusal: Several are.
    """
    by_id = {record.id: record for record in reversed(candidates)}
    rows = [NameRow("", r.id, r.name, folded_name(r.name)) for r in candidates]
    return by_id[row_named(kind.type_name(), reference, rows).id]


def _matches(kind: str, reference: str, rows: Sequence[NameRow]) -> list[NameRow]:
    text = reference.strip()
    rest = id_in_reference(kind, text)
    names = {folded_name(text), folded_name(rest)} - {""}
    loose_names = {_loose(text), _loose(rest)} - {""}
    tries = [
        [row for row in rows if row.id in {text, rest}],
        [row for row in rows if row.key in names],
        [row for row in rows if _loose(row.name) in loose_names],
    ]
    if rest != text and (slug := slug_of(rest)):
        tries.append([row for row in rows if slug_of(row.name) == slug])
        tries.append([row for row in rows if _long_slug(row) == slug])
    for rows_of_try in tries:
        if rows_of_try:
            return rows_of_try
    return []


def handles_of(kind: str, rows: Iterable[NameRow]) -> dict[str, str]:
    """Return the handle of each record of a kind by its id.

    Args:
        kind: The format's name of the kind.
        rows: All records among which a handle means one.
    """
    by_id = {row.id: row for row in rows}  # a copied record has the id of the first one
    word = _word_of(kind)
    slugs = Counter(slug_of(row.name) for row in by_id.values())
    long_slugs = Counter(_long_slug(row) for row in by_id.values())
    handles: dict[str, str] = {}
    for row in by_id.values():
        slug, long_slug = slug_of(row.name), _long_slug(row)
        if slug and slugs[slug] == 1 and slug not in long_slugs:
            handles[row.id] = f"{word}/{slug}"
        elif slug and long_slugs[long_slug] == 1 and long_slug not in slugs:
            handles[row.id] = f"{word}/{long_slug}"
        else:
            handles[row.id] = handle_with_id(kind, row.id)
    return handles


def handle_with_id(kind: str, record_id: str) -> str:
    """Return the handle of a record that has no name of its own."""
    return f"{_word_of(kind)}/{record_id}"


def _word_of(kind: str) -> str:
    return kind_word(kind).replace("_", "-")


def _long_slug(row: NameRow) -> str:
    """Return the slug of a record with the last digits of its id."""
    return f"{slug_of(row.name)}-{row.id[-_DIGITS:].casefold()}"


def _loose(name: str) -> str:
    """Return a name for comparison, whatever stands between its words."""
    return folded_name(_BETWEEN_WORDS.sub(" ", name))
