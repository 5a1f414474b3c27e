"""Changes and deleted records as the doors show them."""

from kiln_mcp.workbench.capability import Result
from storage.collaboration.record_changes import field_texts
from storage.collaboration.sync import HistoryEntry
from storage.commits.trash import TrashEntry
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
    """What is in the trash, the latest first."""

    records: list[TrashedRecord]


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
