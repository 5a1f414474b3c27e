"""What was done to a project, by whom, in words; and how a change is taken back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from storage.changes import Change
from storage.commits import Edit, Move
from storage.errors import RecordNotFound
from storage.layout import children_of, place_named
from storage.names import folded_name, known_as
from storage.reading import revision_of
from storage.sharing.errors import ChangedSince, NotShared
from storage.sharing.git import EMPTY_TREE, FileChange, Git
from storage.sharing.merging import merge_lines, merge_objects
from storage.sharing.questions import edited
from storage.sharing.telling import files_of
from storage.sharing.words import (
    Document,
    FieldChange,
    RecordChange,
    document_of,
    field_changes,
    field_name,
    label_of,
    noun,
    summary,
)
from storage.trash import find_by_folder, trashed_now

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


@dataclass(frozen=True, slots=True)
class Undo:
    """How a change is taken back.

    Attributes:
        change: What is to be written.
        done: The same in words.
    """

    change: Change
    done: str


@dataclass(frozen=True, slots=True)
class _Version:
    """A file of a change: as it was before, as the change left it, and as it is now."""

    path: str
    before: bytes | None
    after: bytes | None
    now: bytes | None

    @property
    def is_record(self) -> bool:
        return self.path.endswith(".kiln")


def change_entries(git: Git, path: str | None, limit: int) -> list[HistoryEntry]:
    """Return the changes of a record's file, or of the project, the latest first.

    Raises:
        NotShared: There is no history yet.
    """
    if git.try_text("rev-parse", "-q", "--verify", "HEAD") is None:
        raise NotShared(git.folder)
    where = files_of(path) if path else ["."]
    log = git.text("log", "--no-merges", f"-{limit}", _FORM, "--", *where)
    found: list[HistoryEntry] = []
    for line in log.splitlines():
        change, who, seconds, parents, subject = line.split("\x1f", 4)
        when = datetime.fromtimestamp(int(seconds), UTC)
        done, fields = subject, ()
        if path is not None:
            first = parents.split()[0] if parents else EMPTY_TREE
            before, after = map(document_of, git.blobs([f"{first}:./{path}", f"{change}:./{path}"]))
            done = RecordChange(PurePosixPath(path).stem, before, after).verb
            fields = tuple(field_changes(before, after)) if before and after else ()
            if before and after:
                fields += tuple(_files_changed(git, first, change, path))
        found.append(HistoryEntry(change, who, when, done, fields))
    return found


def _files_changed(git: Git, before: str, after: str, path: str) -> Iterator[FieldChange]:
    """Yield the files beside a record that a change changed."""
    folder = PurePosixPath(path).parent
    changes = git.changes(before, after, "--relative")
    beside = [one for one in changes if _is_beside(one.path, path)]
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
        *("log", "--diff-filter=D", "--no-renames", "--no-merges", "--raw", "--abbrev=40"),
        *("--format=", "--relative", "-z", "--", f":(glob)**/{name}"),
    )
    items = [item for item in log.decode("utf-8", "surrogateescape").split("\0") if item]
    pairs = list(zip(items[::2], items[1::2], strict=False))[:_MOST_LOOKED_AT]
    pairs = [pair for pair in pairs if not (git.folder / pair[1]).exists()]
    blobs = git.blobs([head.split(" ")[2] for head, _ in pairs])
    return _matching([path for _, path in pairs], blobs, reference)


def undo_plan(git: Git, change: str, path: str | None) -> Undo:
    """Return what is to be written so that a change is taken back.

    Args:
        git: Git in the project's folder.
        change: The change's id.
        path: The file of the one record that is meant; None for all that the change did.

    Raises:
        RecordNotFound: There is no such change, or it did nothing to this record.
        ChangedSince: What it changed was changed again since.
    """
    parents = None
    if change and not change.startswith("-"):
        parents = git.try_text("log", "-1", "--format=%P", f"{change}^{{commit}}", "--")
    if parents is None:
        raise RecordNotFound("change", change)
    first = parents.split()[0] if parents else EMPTY_TREE
    changes = _meant(git.changes(first, change, "--relative"), path)
    if not changes:
        raise RecordNotFound("change", change)
    was = git.blobs([one.before for one in changes])
    then = git.blobs([one.after for one in changes])
    versions = [
        _Version(one.path, before, after, _held(git, one.path))
        for one, before, after in zip(changes, was, then, strict=True)
    ]
    plan = Change(git.folder)
    _take_away(plan, [one for one in versions if one.before is None])
    _bring_back(plan, [one for one in versions if one.after is None])
    for one in versions:
        if one.before is not None and one.after is not None:
            plan.edits += _change_back(one)
    back = [
        RecordChange(PurePosixPath(one.path).stem, document_of(one.now), document_of(one.before))
        for one in sorted(versions, key=lambda one: one.path.count("/"))
        if one.is_record
    ]
    files = [one.path for one in versions if not one.is_record]
    return Undo(plan, summary(back, files))


def _meant(changes: Sequence[FileChange], path: str | None) -> list[FileChange]:
    """Return the changes of one record; with all below it where it was added or deleted."""
    if path is None:
        return [change for change in changes if not change.path.startswith("questions/")]
    own = [change for change in changes if change.path == path]
    if own and (own[0].before is None or own[0].after is None):
        folder = f"{PurePosixPath(path).parent}/"
        added = own[0].before is None
        return [
            change
            for change in changes
            if change.path.startswith(folder) and (change.before is None) == added
        ]
    return [*own, *(change for change in changes if _is_beside(change.path, path))]


def _is_beside(path: str, record: str) -> bool:
    """Whether a file lies beside a record's file, and is none of a record below it."""
    file, folder = PurePosixPath(path), PurePosixPath(record).parent
    if file.suffix == ".kiln" or folder not in file.parents or folder == PurePosixPath():
        return False
    place = place_named(PurePosixPath(record).name)
    return file.parent == folder or (place is not None and not children_of(place.record))


def _held(git: Git, path: str) -> bytes | None:
    file = git.folder / path
    return file.read_bytes() if file.is_file() else None


def _take_away(plan: Change, added: Sequence[_Version]) -> None:
    """Put what a change added into the trash.

    Raises:
        ChangedSince: It was changed since, or something was added below it.
    """
    here = [one for one in added if one.now is not None]
    for one in here:
        if one.now != one.after:
            raise ChangedSince(f"{_said(one)} was changed after it was added")
    paths = {one.path for one in here}
    records = [one for one in here if one.is_record and len(PurePosixPath(one.path).parts) > 1]
    folders = {str(PurePosixPath(one.path).parent) for one in records}
    for one in records:
        folder = PurePosixPath(one.path).parent
        if any(str(above) in folders for above in folder.parents):
            continue
        inside = (file for file in (plan.folder / folder).rglob("*") if file.is_file())
        later = [file for file in inside if file.relative_to(plan.folder).as_posix() not in paths]
        if later:
            raise ChangedSince(f"{_said(one)} has had {len(later)} files added below it since")
        document = document_of(one.now) or {}
        record_id = str(document.get("id", ""))
        kind = PurePosixPath(one.path).stem
        plan.put_away(trashed_now(kind, record_id, known_as(document), str(folder)))
    for one in here:
        if not any(str(above) in folders for above in PurePosixPath(one.path).parents):
            plan.moves.append(Move(one.path, f".trash/undone/{one.path}"))


def _bring_back(plan: Change, deleted: Sequence[_Version]) -> None:
    """Write what a change deleted, where it was.

    Raises:
        ChangedSince: Something else is there now, or what it lay below is gone.
    """
    coming = {one.path for one in deleted}
    for one in deleted:
        if one.now is not None and one.now != one.before:
            raise ChangedSince(f"{_said(one)} is there again, and differs from what was deleted")
        above = _parent_file(one.path)
        if above and above not in coming and not (plan.folder / above).is_file():
            raise ChangedSince(f"what {_said(one)} lay below was deleted too")
        if one.now is None and one.before is not None:
            plan.edits.append(Edit(one.path, one.before, None))
    for folder in {str(PurePosixPath(path).parent) for path in coming if path.endswith(".kiln")}:
        trashed = find_by_folder(plan.folder, folder)
        if trashed is not None:
            kept = str(PurePosixPath(trashed.place).parent)
            plan.moves.append(Move(kept, f".trash/undone/{trashed.key}"))


def _change_back(one: _Version) -> list[Edit]:
    """Return the edit that takes a change of one file back.

    Raises:
        ChangedSince: The same fields were changed again since.
    """
    before, after, now = one.before or b"", one.after or b"", one.now
    if now is None:
        raise ChangedSince(f"{_said(one)} was deleted since")
    if now == after:
        return [Edit(one.path, before, revision_of(now))]
    if one.is_record:
        return _merged_back(one, now)
    if one.path.endswith(".jsonl"):
        texts = [part.decode("utf-8", "surrogateescape") for part in (after, now, before)]
        return [Edit(one.path, merge_lines(*texts).encode(), revision_of(now))]
    raise ChangedSince(f"{PurePosixPath(one.path).name} was changed again since")


def _merged_back(one: _Version, now: bytes) -> list[Edit]:
    was, then = document_of(one.before) or {}, document_of(one.after) or {}
    held: Document = document_of(now) or {}
    merged, clashes = merge_objects(then, held, was)
    if clashes:
        fields = ", ".join(dict.fromkeys(field_name(clash.field) for clash in clashes))
        raise ChangedSince(f"the {fields} of {_said(one)} was changed again since")
    return [edited(one.path, now, held, merged)]


def _parent_file(path: str) -> str | None:
    """Return the file of the record that a record lies below; None where there is none."""
    place = place_named(PurePosixPath(path).name)
    if place is None or not place.parents:
        return None
    above = PurePosixPath(path).parents[2]
    return str(above / f"{place.parents[0].type_name()}.kiln")


def _said(one: _Version) -> str:
    if not one.is_record:
        return PurePosixPath(one.path).name
    document = document_of(one.now) or document_of(one.before) or {}
    return f"the {noun(PurePosixPath(one.path).stem)} {known_as(document)}"


def _matching(paths: Sequence[str], blobs: Sequence[bytes | None], reference: str) -> str | None:
    wanted = folded_name(reference)
    for path, content in zip(paths, blobs, strict=True):
        document = document_of(content) or {}
        if document.get("id") == reference.strip() or folded_name(label_of(document)) == wanted:
            return path
    return None
