"""Undo of a change: the edits that reverse it and leave later changes as they are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from storage.changes import Change
from storage.collaboration.change_summary import conflict_change, is_side_file
from storage.collaboration.record_changes import RecordChange, document_of, summary
from storage.collaboration.undo_edits import (
    FileVersion,
    restore_deletions,
    reverse_edit,
    trash_additions,
)
from storage.errors import RecordNotFound, Refusal
from storage.format.layout import PROJECT_FILE
from storage.git.attributes import FILE as ATTRIBUTES_FILE
from storage.git.git import EMPTY_TREE, FileChange, Git

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
    trash_additions(plan, additions)
    deletions = [file for file in versions if file.new is None and file.current != file.old]
    restore_deletions(plan, deletions)
    modifications = [file for file in versions if file.old is not None and file.new is not None]
    edits = {file.path: edit for file in modifications if (edit := reverse_edit(file)) is not None}
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


def _versions(git: Git, changes: Sequence[FileChange]) -> list[FileVersion]:
    """Return the files of a change, without those of a project that it began."""
    old_contents = git.blobs([change.old for change in changes])
    new_contents = git.blobs([change.new for change in changes])
    versions = [
        FileVersion(change.path, old, new, _read(git, change.path))
        for change, old, new in zip(changes, old_contents, new_contents, strict=True)
    ]
    own_paths = {PROJECT_FILE, ATTRIBUTES_FILE}
    return [file for file in versions if file.path not in own_paths or file.old is not None]


def _record_change(git: Git, file: FileVersion, result: bytes | None) -> RecordChange:
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
