"""Undo of a change: the edits that reverse it and leave later changes as they are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from storage.changes import Change
from storage.commits.commit_log import Edit, Move
from storage.commits.trash import find_by_folder, trashed_now
from storage.errors import RecordNotFound, Refusal
from storage.format.layout import PROJECT_FILE, place_named
from storage.format.record_text import revision_of
from storage.git.git import EMPTY_TREE, FileChange, Git
from storage.records.names import known_as
from storage.sharing.change_summary import conflict_change, is_side_file
from storage.sharing.conflict_files import FOLDER as CONFLICTS
from storage.sharing.record_changes import (
    RecordChange,
    document_of,
    field_name,
    noun,
    summary,
)
from storage.sharing.resolution import record_edit
from storage.sharing.three_way_merge import merge_lines, merge_objects
from storage.text.json_text import same

_COMMIT_ID = re.compile(r"[0-9a-f]{4,64}")
"""A change's id or its beginning; the name of a branch does not match."""


@dataclass(frozen=True, slots=True)
class Undo:
    """The plan of an undo.

    Attributes:
        change: The edits.
        summary: What they do, in words.
        trash_count: How many records and files go to the trash.
        is_of_unsaved: Whether the change that is undone is not in the history yet.
    """

    change: Change
    summary: str
    trash_count: int
    is_of_unsaved: bool = False


@dataclass(frozen=True, slots=True)
class _Version:
    """A file of a change: before it, after it, and as it is now."""

    path: str
    old: bytes | None
    new: bytes | None
    current: bytes | None

    @property
    def is_record(self) -> bool:
        return self.path.endswith(".kiln")

    @property
    def is_conflict(self) -> bool:
        return self.path.startswith(f"{CONFLICTS}/")

    @property
    def has_summary(self) -> bool:
        return self.is_record or self.is_conflict

    @property
    def label(self) -> str:
        """The record's kind and name, or the file's name."""
        if not self.is_record:
            return PurePosixPath(self.path).name
        document = document_of(self.current) or document_of(self.old) or {}
        return f"the {noun(PurePosixPath(self.path).stem)} {known_as(document)}"


def undo_plan(git: Git, change: str, path: str | None) -> Undo:
    """Return the plan that undoes a change.

    Args:
        git: Git in the project's folder.
        change: The change's id from the history.
        path: The file of one record; None for the whole change.

    Raises:
        RecordNotFound: There is no such change, or it did nothing to this record.
        Refusal: Nothing of the change is left, it began the project and did nothing else, or
            what it changed was changed again later.
    """
    parents = _parents(git, change)
    if parents is None:
        raise RecordNotFound("change", change)
    parent = parents[0] if parents else EMPTY_TREE
    changes = _changes_of(git.changes(parent, change, "--relative"), path)
    if not changes:
        raise RecordNotFound("change", change)
    return _plan(git, changes)


def undo_plan_of_unsaved(git: Git, base: str, tree: str, path: str | None) -> Undo:
    """Return the plan that undoes what is not in the history yet.

    Args:
        git: Git in the project's folder.
        base: The last commit, or the empty tree.
        tree: The folder's state, as a tree.
        path: The file of one record; None for all.

    Raises:
        Refusal: There is nothing to undo, or only the project's own record.
    """
    changes = _changes_of(git.changes(base, tree, "--relative"), path)
    if not changes:
        raise Refusal(
            "Nothing was undone, because nothing was changed since the last sync. The history "
            "shows earlier changes, which can be undone."
        )
    return replace(_plan(git, changes), is_of_unsaved=True)


def _parents(git: Git, change: str) -> list[str] | None:
    """Return the parents of a change's commit; None if there is no such change.

    A merge is no change: the history does not show it, and both of its sides have changes of
    their own.
    """
    if not _COMMIT_ID.fullmatch(change):
        return None
    line = git.try_text("log", "-1", "--format=%H %P", f"{change}^{{commit}}", "--")
    commit, *parents = (line or "").split(" ")
    if not commit.startswith(change) or len(list(filter(None, parents))) > 1:
        return None
    if git.try_text("merge-base", "--is-ancestor", commit, "HEAD") is None:
        return None
    return list(filter(None, parents))


def _plan(git: Git, changes: Sequence[FileChange]) -> Undo:
    versions = _versions(git, changes)
    is_begin = len(versions) < len(changes)
    if not versions:
        raise Refusal(
            "Nothing was changed: this change began the project, whose own record stays. Undo a "
            "later change, or delete records of the project. To remove the whole project, move "
            "its folder away."
        )
    plan = Change(git.folder)
    additions = [file for file in versions if file.old is None and file.current is not None]
    _trash_additions(plan, additions)
    deletions = [file for file in versions if file.new is None and file.current != file.old]
    _restore(plan, deletions)
    modifications = [file for file in versions if file.old is not None and file.new is not None]
    edits = {file.path: edit for file in modifications if (edit := _reverse_edit(file)) is not None}
    plan.edits += edits.values()
    if not plan.edits and not plan.moves:
        raise Refusal(
            "Nothing was changed: this change is undone already. The history shows what was done "
            "since."
        )
    files = [*additions, *deletions, *(file for file in modifications if file.path in edits)]
    files.sort(key=lambda file: file.path.count("/"))
    results = {path: edit.content for path, edit in edits.items()}
    record_changes = [
        _record_change(git, file, results.get(file.path, file.old))
        for file in files
        if file.has_summary
    ]
    text = summary(record_changes, [file.path for file in files if not file.has_summary])
    if is_begin:
        text += "; the project's own record stays"
    return Undo(plan, text, len(additions))


def _versions(git: Git, changes: Sequence[FileChange]) -> list[_Version]:
    """Return the files of a change, without a project's own record that it began."""
    old_contents = git.blobs([change.old for change in changes])
    new_contents = git.blobs([change.new for change in changes])
    versions = [
        _Version(change.path, old, new, _read(git, change.path))
        for change, old, new in zip(changes, old_contents, new_contents, strict=True)
    ]
    return [file for file in versions if file.path != PROJECT_FILE or file.old is not None]


def _record_change(git: Git, file: _Version, result: bytes | None) -> RecordChange:
    """Return what the undo does to a record or a conflict, for the summary."""
    if not file.is_conflict:
        kind = PurePosixPath(file.path).stem
        return RecordChange(kind, document_of(file.current), document_of(result))
    return conflict_change(
        file.old or file.new,
        lambda path: _read(git, path),
        was_open=bool(file.current),
        is_open=bool(result),
    )


def _changes_of(changes: Sequence[FileChange], path: str | None) -> list[FileChange]:
    """Return the changes of one record, with all below it if it was added or deleted."""
    if path is None:
        return list(changes)
    own = [change for change in changes if change.path == path]
    if path == PROJECT_FILE:
        return own
    if own and (own[0].old is None or own[0].new is None):
        folder = f"{PurePosixPath(path).parent}/"
        is_addition = own[0].old is None
        return [
            change
            for change in changes
            if change.path.startswith(folder) and (change.old is None) == is_addition
        ]
    return [*own, *(change for change in changes if is_side_file(change.path, path))]


def _read(git: Git, path: str) -> bytes | None:
    file = git.folder / path
    return file.read_bytes() if file.is_file() else None


def _trash_additions(plan: Change, additions: Sequence[_Version]) -> None:
    """Put what a change added into the trash.

    Raises:
        Refusal: It was changed later, or something was added below it.
    """
    for file in additions:
        if file.current != file.new:
            raise _later_change(f"{file.label} was changed after it was added")
    paths = {file.path for file in additions}
    records = [
        file for file in additions if file.is_record and len(PurePosixPath(file.path).parts) > 1
    ]
    folders = {str(PurePosixPath(file.path).parent) for file in records}
    for record in records:
        folder = PurePosixPath(record.path).parent
        if any(str(parent) in folders for parent in folder.parents):
            continue
        files = (file for file in (plan.folder / folder).rglob("*") if file.is_file())
        later = [file for file in files if file.relative_to(plan.folder).as_posix() not in paths]
        if later:
            raise _later_change(f"{record.label} has had {len(later)} files added below it since")
        document = document_of(record.current) or {}
        record_id = str(document.get("id", ""))
        kind = PurePosixPath(record.path).stem
        plan.put_away(trashed_now(kind, record_id, known_as(document), str(folder)))
    for file in additions:
        if not any(str(parent) in folders for parent in PurePosixPath(file.path).parents):
            plan.moves.append(Move(file.path, f".trash/undone/{file.path}"))


def _restore(plan: Change, deletions: Sequence[_Version]) -> None:
    """Write what a change deleted, at its old place.

    Raises:
        Refusal: Something else is at its place, or the record that it lay below is gone.
    """
    paths = {file.path for file in deletions}
    for file in deletions:
        if file.current is not None:
            raise _later_change(f"{file.label} is there again, and differs from what was deleted")
        parent = _parent_file(file.path)
        if parent and parent not in paths and not (plan.folder / parent).is_file():
            raise _later_change(f"what {file.label} lay below was deleted too")
        if file.old is not None:
            plan.edits.append(Edit(file.path, file.old, None))
    for folder in {str(PurePosixPath(path).parent) for path in paths if path.endswith(".kiln")}:
        entry = find_by_folder(plan.folder, folder)
        if entry is not None:
            place = str(PurePosixPath(entry.place).parent)
            plan.moves.append(Move(place, f".trash/undone/{entry.key}"))


def _reverse_edit(file: _Version) -> Edit | None:
    """Return the edit that reverses the change of one file; None if it is reversed already.

    Raises:
        Refusal: The same fields were changed again later.
    """
    old, new, current = file.old or b"", file.new or b"", file.current
    if current is None:
        raise _later_change(f"{file.label} was deleted since")
    if current == old:
        return None
    if current == new:
        return Edit(file.path, old, revision_of(current))
    if file.is_record:
        return _merge_edit(file, current)
    if file.path.endswith(".jsonl"):
        texts = [part.decode("utf-8", "surrogateescape") for part in (new, current, old)]
        result = merge_lines(*texts).encode("utf-8", "surrogateescape")
        return None if result == current else Edit(file.path, result, revision_of(current))
    raise _later_change(f"{PurePosixPath(file.path).name} was changed again since")


def _merge_edit(file: _Version, current: bytes) -> Edit | None:
    """Return the edit of a record that was changed later in other fields."""
    old, new = document_of(file.old) or {}, document_of(file.new) or {}
    document = document_of(current) or {}
    result, conflicts = merge_objects(new, document, old)
    if conflicts:
        fields = ", ".join(dict.fromkeys(field_name(conflict.field) for conflict in conflicts))
        raise _later_change(f"the {fields} of {file.label} was changed again since")
    return None if same(document, result) else record_edit(file.path, current, document, result)


def _parent_file(path: str) -> str | None:
    """Return the file of the record that a record lies below; None if there is none."""
    place = place_named(PurePosixPath(path).name)
    if place is None or not place.parents:
        return None
    folder = PurePosixPath(path).parents[2]
    return str(folder / f"{place.parents[0].type_name()}.kiln")


def _later_change(reason: str) -> Refusal:
    return Refusal(
        "This cannot be undone alone: {reason}. Nothing was changed. Undo the later change first, "
        "or ask the person for the right value and set it.",
        reason=reason,
    )
