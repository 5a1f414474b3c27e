"""The history of a project or record: who changed what, and when."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from storage.collaboration.branch import no_history
from storage.collaboration.change_summary import is_side_file, pathspecs_of
from storage.collaboration.record_changes import (
    FieldChange,
    RecordChange,
    document_of,
    field_changes,
    label_of,
)
from storage.errors import Refusal
from storage.git.git import EMPTY_TREE, Git
from storage.records.names import folded_name

_FORMAT = "--format=%H%x1f%an%x1f%at%x1f%P%x1f%s"
_MOST_DELETIONS = 5_000
_CURSOR = re.compile(r"([0-9a-f]{40,64})\+([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of a record, or of the project.

    Attributes:
        change: The change's id, for `undo`.
        author: Who made it.
        time: When it was made.
        summary: What was done. Of a record: add, rate, tag, repair, rename, change or delete. Of
            the project: the change's own sentence.
        fields: The fields that differ; none if the record was added or deleted.
    """

    change: str
    author: str
    time: datetime
    summary: str
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some changes, the latest first.

    Attributes:
        entries: The changes.
        next_cursor: Where the next page begins; None if there is none.
    """

    entries: Sequence[HistoryEntry]
    next_cursor: str | None


def history_page(git: Git, path: str | None, limit: int, cursor: str | None) -> HistoryPage:
    """Return some changes of a record's file, or of the project, the latest first.

    A page goes on where the last one ended, whatever was committed since.

    Args:
        git: Of the project.
        path: The record's file; None for the project.
        limit: The most changes.
        cursor: The cursor of the page before.

    Raises:
        Refusal: There is no history yet, or there is no such page.
    """
    head = git.try_text("rev-parse", "-q", "--verify", "HEAD")
    if head is None:
        raise no_history(git)
    start, skipped_count = head.strip(), 0
    if cursor is not None:
        place = _CURSOR.fullmatch(cursor)
        if place is None or git.try_text("cat-file", "-e", f"{place[1]}^{{commit}}") is None:
            raise Refusal(
                "There is no page {cursor} of this history. Leave the cursor out to begin again.",
                cursor=cursor,
            )
        start, skipped_count = place[1], int(place[2])
    entries = _entries(git, path, start, skipped_count, limit + 1)
    next_cursor = f"{start}+{skipped_count + limit}" if len(entries) > limit else None
    return HistoryPage(entries[:limit], next_cursor)


def _entries(
    git: Git, path: str | None, start: str, skipped_count: int, limit: int
) -> list[HistoryEntry]:
    where = pathspecs_of(path) if path else ["."]
    # Without --full-history git omits the side whose value a merge did not take.
    pages = (f"--skip={skipped_count}", f"-{limit}")
    log = git.text("log", start, "--full-history", "--no-merges", *pages, _FORMAT, "--", *where)
    entries: list[HistoryEntry] = []
    for line in log.split("\n") if log else ():
        change, author, seconds, parents, subject = line.split("\x1f", 4)
        time = datetime.fromtimestamp(int(seconds), UTC)
        summary, fields = subject, ()
        if path is not None:
            first = parents.split()[0] if parents else EMPTY_TREE
            old, new = map(document_of, git.blobs([f"{first}:./{path}", f"{change}:./{path}"]))
            summary = ", ".join(RecordChange(PurePosixPath(path).stem, old, new).verbs)
            fields = tuple(field_changes(old, new)) if old and new else ()
            if old and new:
                fields += tuple(_side_file_changes(git, first, change, path))
        entries.append(HistoryEntry(change, author, time, summary, fields))
    return entries


def _side_file_changes(git: Git, start: str, end: str, path: str) -> Iterator[FieldChange]:
    """Yield the changes of the files beside a record."""
    folder = PurePosixPath(path).parent
    changes = git.changes(start, end, "--relative")
    side_files = [change for change in changes if is_side_file(change.path, path)]
    old_blobs = git.blobs([change.old for change in side_files])
    new_blobs = git.blobs([change.new for change in side_files])
    for change, old, new in zip(side_files, old_blobs, new_blobs, strict=True):
        name = str(PurePosixPath(change.path).relative_to(folder))
        yield FieldChange(name, _as_text(old), _as_text(new))


def _as_text(content: bytes | None) -> str | None:
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"{len(content)} bytes"


def deleted_path(git: Git, kind: str, reference: str) -> str | None:
    """Return the file of a deleted record of a kind by its id or name; the latest of several.

    Raises:
        Refusal: There is no history yet.
    """
    if git.try_text("rev-parse", "-q", "--verify", "HEAD") is None:
        raise no_history(git)
    name = f"{kind}.kiln"
    paths = git.lines("ls-tree", "-r", "-z", "--name-only", "HEAD", "--", ".")
    candidates = [path for path in paths if path.endswith(f"/{name}")]
    candidates = [path for path in candidates if not (git.folder / path).exists()]
    if path := _matching_path(
        candidates, git.blobs([f"HEAD:./{path}" for path in candidates]), reference
    ):
        return path
    log = git.run(
        *("log", "--full-history", "--diff-filter=D", "--no-renames", "--no-merges", "--raw"),
        *("--abbrev=40", "--format=", "--relative", "-z", "--", f":(glob)**/{name}"),
    )
    items = [item for item in log.decode("utf-8", "surrogateescape").split("\0") if item]
    pairs = list(zip(items[::2], items[1::2], strict=False))[:_MOST_DELETIONS]
    pairs = [pair for pair in pairs if not (git.folder / pair[1]).exists()]
    blobs = git.blobs([head.split(" ")[2] for head, _ in pairs])
    return _matching_path([path for _, path in pairs], blobs, reference)


def _matching_path(
    paths: Sequence[str], blobs: Sequence[bytes | None], reference: str
) -> str | None:
    name = folded_name(reference)
    for path, content in zip(paths, blobs, strict=True):
        document = document_of(content) or {}
        if document.get("id") == reference.strip() or folded_name(label_of(document)) == name:
            return path
    return None
