"""Changes and deleted records as the doors show them."""

from collections.abc import Sequence

from kiln_mcp.workbench.capability import Result
from storage.collaboration.record_changes import field_texts
from storage.collaboration.sync import HistoryEntry
from storage.commits.trash import TrashEntry
from storage.errors import InvalidQuery
from storage.records.names import folded_name
from storage.text.kind_words import kind_word


class ChangeEntry(Result):
    """One change."""

    change: str
    who: str
    when: str
    done: str
    fields: list[str]


class TrashedRecord(Result):
    """A deleted record."""

    key: str
    kind: str
    name: str
    deleted_at: str
    deleted_by: str


class Trash(Result):
    """Some of what is in the trash, the latest first."""

    total: int
    records: list[TrashedRecord]
    next_cursor: str | None = None


def page_of_trash(
    entries: Sequence[TrashEntry], text: str, limit: int, cursor: str | None
) -> Trash:
    """Return a page of the deleted records that have a text in their names.

    Args:
        entries: What is in the trash, the latest first.
        text: Part of the name, in any case; "" for all.
        limit: The most records.
        cursor: The key of the last record of the page before.

    Raises:
        InvalidQuery: The cursor is none of the trash.
    """
    part = folded_name(text)
    matches = [entry for entry in entries if part in folded_name(entry.label)]
    start = 0
    if cursor is not None:
        keys = [entry.key for entry in matches]
        if cursor not in keys:
            raise InvalidQuery(f"{cursor!r} is no cursor; take next_cursor of the last page")
        start = keys.index(cursor) + 1
    page = matches[start : start + limit]
    has_more = start + limit < len(matches)
    return Trash(
        total=len(matches),
        records=[trashed_record(entry) for entry in page],
        next_cursor=page[-1].key if has_more else None,
    )


def trashed_record(entry: TrashEntry) -> TrashedRecord:
    """Return a deleted record."""
    return TrashedRecord(
        key=entry.key,
        kind=kind_word(entry.kind),
        name=entry.label,
        deleted_at=entry.deleted_at.isoformat(),
        deleted_by=entry.deleted_by,
    )


def change_entry(entry: HistoryEntry) -> ChangeEntry:
    """Return a change."""
    return ChangeEntry(
        change=entry.change,
        who=entry.author,
        when=entry.time.isoformat(),
        done=entry.summary,
        fields=field_texts(entry.fields),
    )
