"""Who set the values that a conflict is about, and when, from the project's history."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.collaboration.conflicts import Choice, Conflict, choice_at
from storage.collaboration.record_changes import Document, document_of
from storage.git.git import Git

_MOST_CONFLICTS = 100
_MOST_COMMITS = 500
_FORMAT = "--format=%x01%an%x1f%at"


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a record's file; None if the file does not exist."""

    path: str
    author: str
    old: Document | None
    new: Document | None


def with_authors(git: Git, conflicts: Sequence[Conflict]) -> list[Conflict]:
    """Return conflicts with the author of each choice.

    Looks at the first 100 conflicts and at the last 500 commits of their records.
    """
    paths = {conflict.path for conflict in conflicts[:_MOST_CONFLICTS] if conflict.other is None}
    if not paths:
        return list(conflicts)
    changes = list(_changes(git, sorted(paths)))
    return [
        conflict.model_copy(update={"authors": _authors(conflict, changes)})
        if conflict.other is None
        else conflict
        for conflict in conflicts
    ]


def _authors(conflict: Conflict, changes: Sequence[_Change]) -> tuple[str, ...]:
    own = [change for change in changes if change.path == conflict.path]
    return tuple(
        next((change.author for change in own if _is_author(change, conflict, number)), "")
        for number in range(len(conflict.choices))
    )


def _is_author(change: _Change, conflict: Conflict, number: int) -> bool:
    """Return whether a change set the values of a choice, which the record did not have before."""
    if not conflict.field:
        if conflict.choices[number].absent:
            return change.new is None
        return change.old is not None and change.new is not None
    choices = conflict.values_of(number)
    values = [value for _, value in choices]
    return (
        change.new is not None
        and _values(change.new, choices) == values
        and _values(change.old or {}, choices) != values
    )


def _values(document: Document, fields: Sequence[tuple[tuple[str, ...], Choice]]) -> list[Choice]:
    return [choice_at(document, field) for field, _ in fields]


def _changes(git: Git, paths: Sequence[str]) -> Iterator[_Change]:
    """Yield the changes of records' files, the latest first."""
    where = [f":(literal){path}" for path in paths]
    items = git.lines(
        *("log", "--full-history", "--no-merges", f"-{_MOST_COMMITS}", "--raw", "--abbrev=40"),
        *("--no-renames", "--relative", "-z", _FORMAT, "--", *where),
    )
    rows: list[tuple[str, str, str, str]] = []
    author = ""
    entries = iter(items)
    for item in entries:
        if item.startswith("\x01"):
            name, _, seconds = item[1:].rpartition("\x1f")
            author = f"{name}, {datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M} UTC"
        else:
            _, _, old, new, _ = item.strip().split(" ")
            rows.append((next(entries), author, old, new))
    old_contents = git.blobs([old for _, _, old, _ in rows])
    new_contents = git.blobs([new for _, _, _, new in rows])
    for (path, name, _, _), old, new in zip(rows, old_contents, new_contents, strict=True):
        yield _Change(path, name, document_of(old), document_of(new))
