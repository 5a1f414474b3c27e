"""How a change is taken back."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import ValidationError

from storage.changes import Change
from storage.commits.commit_log import Edit, Move
from storage.commits.trash import find_by_folder, new_trash_entry
from storage.errors import RecordNotFound
from storage.format.layout import PROJECT_FILE, place_named
from storage.format.record_text import revision_of
from storage.git.git import EMPTY_TREE, FileChange, Git
from storage.records.names import display_label
from storage.sharing.conflicts import FOLDER as QUESTIONS
from storage.sharing.conflicts import Question, edited
from storage.sharing.errors import AlreadyUndone, ChangedSince, NothingToUndo, ProjectStays
from storage.sharing.notices import is_beside
from storage.sharing.three_way_merge import merge_lines, merge_objects
from storage.sharing.words import (
    QUESTION,
    Document,
    RecordChange,
    document_of,
    field_name,
    noun,
    summary,
)
from storage.text.json_text import same

_CHANGE = re.compile(r"[0-9a-f]{4,64}")
"""A change's id, or how it begins; a branch's name is none."""


@dataclass(frozen=True, slots=True)
class Undo:
    """How a change is taken back.

    Attributes:
        change: What is to be written.
        done: The same in words.
        takes_away: How many records and files it puts into the trash.
        is_of_unsaved: Whether that which is taken back is not in the history yet.
    """

    change: Change
    done: str
    takes_away: int
    is_of_unsaved: bool = False


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

    @property
    def is_question(self) -> bool:
        return self.path.startswith(f"{QUESTIONS}/")

    @property
    def is_told(self) -> bool:
        return self.is_record or self.is_question


def undo_plan(git: Git, change: str, path: str | None) -> Undo:
    """Return what is to be written so that a change is taken back.

    Args:
        git: Git in the project's folder.
        change: The change's id, as the history tells it.
        path: The file of the one record that is meant; None for all that the change did.

    Raises:
        RecordNotFound: There is no such change, or it did nothing to this record.
        AlreadyUndone: Nothing of it is left.
        ProjectStays: It began the project, and did nothing else.
        ChangedSince: What it changed was changed again since.
    """
    parents = _parents(git, change)
    if parents is None:
        raise RecordNotFound("change", change)
    first = parents[0] if parents else EMPTY_TREE
    changes = _meant(git.changes(first, change, "--relative"), path)
    if not changes:
        raise RecordNotFound("change", change)
    return _plan(git, changes)


def undo_plan_of_unsaved(git: Git, before: str, after: str, path: str | None) -> Undo:
    """Return what is to be written so that what is not in the history yet is taken back.

    Args:
        git: Git in the project's folder.
        before: The last commit, or the empty tree.
        after: The folder's state, as a tree.
        path: The file of the one record that is meant; None for all.

    Raises:
        NothingToUndo: There is nothing such.
        ProjectStays: It is the project's own record alone.
    """
    changes = _meant(git.changes(before, after, "--relative"), path)
    if not changes:
        raise NothingToUndo
    plan = _plan(git, changes)
    return Undo(plan.change, plan.done, plan.takes_away, is_of_unsaved=True)


def _parents(git: Git, change: str) -> list[str] | None:
    """Return the commits that a change was made on; None where there is no such change.

    A merge is none: the history does not show it, and what it brought together are changes of
    their own.
    """
    if not _CHANGE.fullmatch(change):
        return None
    found = git.try_text("log", "-1", "--format=%H %P", f"{change}^{{commit}}", "--")
    commit, *parents = (found or "").split(" ")
    if not commit.startswith(change) or len(list(filter(None, parents))) > 1:
        return None
    if git.try_text("merge-base", "--is-ancestor", commit, "HEAD") is None:
        return None
    return list(filter(None, parents))


def _plan(git: Git, changes: Sequence[FileChange]) -> Undo:
    was = git.blobs([one.before for one in changes])
    then = git.blobs([one.after for one in changes])
    versions = [
        _Version(one.path, before, after, _held(git, one.path))
        for one, before, after in zip(changes, was, then, strict=True)
    ]
    others = [one for one in versions if one.path != PROJECT_FILE or one.before is not None]
    if not others:
        raise ProjectStays
    plan = Change(git.folder)
    away = [one for one in others if one.before is None and one.now is not None]
    _take_away(plan, away)
    gone = [one for one in others if one.after is None and one.now != one.before]
    _bring_back(plan, gone)
    changed = [one for one in others if one.before is not None and one.after is not None]
    edits = {one.path: edit for one in changed if (edit := _change_back(one)) is not None}
    plan.edits += edits.values()
    if not plan.edits and not plan.moves:
        raise AlreadyUndone
    back = {path: edit.content for path, edit in edits.items()}
    undone = [*away, *gone, *(one for one in changed if one.path in edits)]
    shown = sorted(undone, key=lambda one: one.path.count("/"))
    told = [_told(git, one, back.get(one.path, one.before)) for one in shown if one.is_told]
    done = summary(told, [one.path for one in undone if not one.is_told])
    if len(others) < len(versions):
        done += "; the project's own record stays"
    return Undo(plan, done, len(away))


def _told(git: Git, one: _Version, back: bytes | None) -> RecordChange:
    """Return what is done to a record or a question, for its words."""
    if not one.is_question:
        return RecordChange(PurePosixPath(one.path).stem, document_of(one.now), document_of(back))
    about: Document = {}
    with suppress(ValidationError):
        question = Question.model_validate_json(one.before or one.after or b"")
        about = {"name": question.subject(document_of(_held(git, question.path)) or {})}
    return RecordChange(QUESTION, about if one.now else None, about if back else None)


def _meant(changes: Sequence[FileChange], path: str | None) -> list[FileChange]:
    """Return the changes of one record; with all below it where it was added or deleted."""
    if path is None:
        return list(changes)
    own = [change for change in changes if change.path == path]
    if path == PROJECT_FILE:
        return own
    if own and (own[0].before is None or own[0].after is None):
        folder = f"{PurePosixPath(path).parent}/"
        added = own[0].before is None
        return [
            change
            for change in changes
            if change.path.startswith(folder) and (change.before is None) == added
        ]
    return [*own, *(change for change in changes if is_beside(change.path, path))]


def _held(git: Git, path: str) -> bytes | None:
    file = git.folder / path
    return file.read_bytes() if file.is_file() else None


def _take_away(plan: Change, added: Sequence[_Version]) -> None:
    """Put what a change added into the trash.

    Raises:
        ChangedSince: It was changed since, or something was added below it.
    """
    for one in added:
        if one.now != one.after:
            raise ChangedSince(f"{_said(one)} was changed after it was added")
    paths = {one.path for one in added}
    records = [one for one in added if one.is_record and len(PurePosixPath(one.path).parts) > 1]
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
        plan.move_to_trash(new_trash_entry(kind, record_id, display_label(document), str(folder)))
    for one in added:
        if not any(str(above) in folders for above in PurePosixPath(one.path).parents):
            plan.moves.append(Move(one.path, f".trash/undone/{one.path}"))


def _bring_back(plan: Change, deleted: Sequence[_Version]) -> None:
    """Write what a change deleted, where it was.

    Raises:
        ChangedSince: Something else is there now, or what it lay below is gone.
    """
    coming = {one.path for one in deleted}
    for one in deleted:
        if one.now is not None:
            raise ChangedSince(f"{_said(one)} is there again, and differs from what was deleted")
        above = _parent_file(one.path)
        if above and above not in coming and not (plan.folder / above).is_file():
            raise ChangedSince(f"what {_said(one)} lay below was deleted too")
        if one.before is not None:
            plan.edits.append(Edit(one.path, one.before, None))
    for folder in {str(PurePosixPath(path).parent) for path in coming if path.endswith(".kiln")}:
        trashed = find_by_folder(plan.folder, folder)
        if trashed is not None:
            kept = str(PurePosixPath(trashed.place).parent)
            plan.moves.append(Move(kept, f".trash/undone/{trashed.key}"))


def _change_back(one: _Version) -> Edit | None:
    """Return the edit that takes a change of one file back; None where it is back already.

    Raises:
        ChangedSince: The same fields were changed again since.
    """
    before, after, now = one.before or b"", one.after or b"", one.now
    if now is None:
        raise ChangedSince(f"{_said(one)} was deleted since")
    if now == before:
        return None
    if now == after:
        return Edit(one.path, before, revision_of(now))
    if one.is_record:
        return _merged_back(one, now)
    if one.path.endswith(".jsonl"):
        texts = [part.decode("utf-8", "surrogateescape") for part in (after, now, before)]
        merged = merge_lines(*texts).encode("utf-8", "surrogateescape")
        return None if merged == now else Edit(one.path, merged, revision_of(now))
    raise ChangedSince(f"{PurePosixPath(one.path).name} was changed again since")


def _merged_back(one: _Version, now: bytes) -> Edit | None:
    was, then = document_of(one.before) or {}, document_of(one.after) or {}
    held: Document = document_of(now) or {}
    merged, clashes = merge_objects(then, held, was)
    if clashes:
        fields = ", ".join(dict.fromkeys(field_name(clash.field) for clash in clashes))
        raise ChangedSince(f"the {fields} of {_said(one)} was changed again since")
    return None if same(held, merged) else edited(one.path, now, held, merged)


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
    return f"the {noun(PurePosixPath(one.path).stem)} {display_label(document)}"
