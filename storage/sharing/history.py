"""What was done to a project, by whom, in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from storage.git.git import EMPTY_TREE, Git
from storage.records.names import folded_name
from storage.sharing.errors import NotShared
from storage.sharing.notices import files_of, is_beside
from storage.sharing.words import (
    FieldChange,
    RecordChange,
    document_of,
    field_changes,
    label_of,
)

_FORM = "--format=%H%x1f%an%x1f%at%x1f%P%x1f%s"
_MOST_LOOKED_AT = 5_000


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of a record, or of the project.

    Attributes:
        change: The change's id, for `undo`.
        who: Who made it.
        when: When.
        done: What was done: of a record add, rate, tag, repair, rename, change or delete; of the
            project the change's own sentence.
        fields: The fields that differ; none where the record was added or deleted.
    """

    change: str
    who: str
    when: datetime
    done: str
    fields: tuple[FieldChange, ...]


def change_entries(git: Git, path: str | None, limit: int) -> list[HistoryEntry]:
    """Return the changes of a record's file, or of the project, the latest first.

    Raises:
        NotShared: There is no history yet.
    """
    if git.try_text("rev-parse", "-q", "--verify", "HEAD") is None:
        raise NotShared(git.folder)
    where = files_of(path) if path else ["."]
    # Without --full-history git leaves out the side whose value a merge did not take.
    log = git.text("log", "--full-history", "--no-merges", f"-{limit}", _FORM, "--", *where)
    found: list[HistoryEntry] = []
    for line in log.splitlines():
        change, who, seconds, parents, subject = line.split("\x1f", 4)
        when = datetime.fromtimestamp(int(seconds), UTC)
        done, fields = subject, ()
        if path is not None:
            first = parents.split()[0] if parents else EMPTY_TREE
            before, after = map(document_of, git.blobs([f"{first}:./{path}", f"{change}:./{path}"]))
            done = ", ".join(RecordChange(PurePosixPath(path).stem, before, after).verbs)
            fields = tuple(field_changes(before, after)) if before and after else ()
            if before and after:
                fields += tuple(_files_changed(git, first, change, path))
        found.append(HistoryEntry(change, who, when, done, fields))
    return found


def _files_changed(git: Git, before: str, after: str, path: str) -> Iterator[FieldChange]:
    """Yield the files beside a record that a change changed."""
    folder = PurePosixPath(path).parent
    changes = git.changes(before, after, "--relative")
    beside = [one for one in changes if is_beside(one.path, path)]
    was = git.blobs([one.before for one in beside])
    now = git.blobs([one.after for one in beside])
    for one, old, new in zip(beside, was, now, strict=True):
        name = str(PurePosixPath(one.path).relative_to(folder))
        yield FieldChange(name, _as_shown(old), _as_shown(new))


def _as_shown(content: bytes | None) -> str | None:
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"{len(content)} bytes"


def find_deleted(git: Git, kind: str, reference: str) -> str | None:
    """Return the file of a deleted record of a kind, by its id or name, the latest first."""
    if git.try_text("rev-parse", "-q", "--verify", "HEAD") is None:
        raise NotShared(git.folder)
    name = f"{kind}.kiln"
    held = git.lines("ls-tree", "-r", "-z", "--name-only", "HEAD", "--", ".")
    gone = [path for path in held if path.endswith(f"/{name}")]
    gone = [path for path in gone if not (git.folder / path).exists()]
    if found := _matching(gone, git.blobs([f"HEAD:./{path}" for path in gone]), reference):
        return found
    log = git.run(
        *("log", "--full-history", "--diff-filter=D", "--no-renames", "--no-merges", "--raw"),
        *("--abbrev=40", "--format=", "--relative", "-z", "--", f":(glob)**/{name}"),
    )
    items = [item for item in log.decode("utf-8", "surrogateescape").split("\0") if item]
    pairs = list(zip(items[::2], items[1::2], strict=False))[:_MOST_LOOKED_AT]
    pairs = [pair for pair in pairs if not (git.folder / pair[1]).exists()]
    blobs = git.blobs([head.split(" ")[2] for head, _ in pairs])
    return _matching([path for _, path in pairs], blobs, reference)


def _matching(paths: Sequence[str], blobs: Sequence[bytes | None], reference: str) -> str | None:
    wanted = folded_name(reference)
    for path, content in zip(paths, blobs, strict=True):
        document = document_of(content) or {}
        if document.get("id") == reference.strip() or folded_name(label_of(document)) == wanted:
            return path
    return None
