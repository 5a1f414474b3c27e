"""Settle a conflict copy: merge it into its record, let it replace the record, or discard it.

Nothing is lost: the copy, and a version that it replaces, go to the trash.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from storage.border import Reach, check_links
from storage.collaboration.file_merge import FileMerges, Versions, merge_file
from storage.collaboration.record_changes import (
    Document,
    FieldChange,
    RecordChange,
    document_of,
    field_changes,
    field_name,
    summary,
)
from storage.collaboration.sync import Sharing
from storage.commits.commit_log import CommitLog, FileEdit, Move
from storage.commits.trash import keep_out_of_git, new_trash_entry
from storage.conflict_copies import ConflictCopy
from storage.errors import RecordNotFound, Refusal
from storage.files import read_plain
from storage.format.copies import KIND
from storage.format.layout import PROJECT_FILE, place_named
from storage.format.record_text import read_record, revision_of
from storage.records.names import display_label
from storage.store import ProjectStore


class CopyChoice(StrEnum):
    """What becomes of a copy.

    MERGE: Its record gets what only the copy has; two values of one field become a conflict.
    REPLACE: It takes the place of its record.
    DISCARD: It goes to the trash.
    """

    MERGE = "merge"
    REPLACE = "replace"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What settling a copy will do.

    Attributes:
        copy: The copy.
        choice: What becomes of it.
        versions: What the copy's files hold, by their paths.
        contents: The new contents of files, each with the content that is there now.
        summary: The changes of records in one line; "" for none.
        fields: The fields of the copied record that change.
        conflicts: The fields that wait for a decision then.
    """

    copy: ConflictCopy
    choice: CopyChoice
    versions: Mapping[str, bytes]
    contents: Mapping[str, tuple[bytes, bytes | None]] = field(
        default_factory=dict[str, tuple[bytes, bytes | None]]
    )
    summary: str = ""
    fields: tuple[FieldChange, ...] = ()
    conflicts: tuple[str, ...] = ()


def settlement(project: Path, copy: ConflictCopy, choice: CopyChoice) -> Settlement:
    """Return what settling a copy will do; nothing is changed yet.

    Raises:
        Refusal: The copy holds another record, or none that could replace its record.
        UnsafePath: A link leads to it.
        UnreadableRecord: It is to replace its record and cannot be read.
        RecordNotFound: It is not there any more.
    """
    check_links(project, [copy.path, copy.original])
    versions = dict(_files(project, copy))
    if not versions and not os.path.lexists(project / copy.path):
        raise RecordNotFound(KIND, copy.path)
    if choice is CopyChoice.DISCARD:
        return Settlement(copy, choice, versions)
    _check_same_record(project, copy, versions)
    if choice is CopyChoice.REPLACE:
        return _replacement(project, copy, versions)
    return _merger(project, copy, versions)


async def settle(store: ProjectStore, plan: Settlement) -> None:
    """Settle a copy as planned; where git is there, what was done before is saved first.

    Raises:
        Refusal: The copy or its record changed since the plan was made.
    """
    await Sharing(store).save_history()
    await store.run_exclusive(lambda log: _carry_out(store.folder, log, plan))
    if plan.copy.record == PROJECT_FILE:
        await store.reload()
    await store.refresh()


def _carry_out(project: Path, log: CommitLog, plan: Settlement) -> None:
    if settlement(project, plan.copy, plan.choice) != plan:
        raise Refusal(
            "{path} or its record changed since the plan was made. Nothing was changed: call again "
            "to see the plan of now.",
            path=plan.copy.path,
        )
    edits = [
        FileEdit(path, content, None if was is None else revision_of(was))
        for path, (content, was) in plan.contents.items()
    ]
    moves: list[Move] = []
    if plan.choice is CopyChoice.REPLACE:
        _keep_original(project, plan.copy, edits, moves)
    if plan.choice is CopyChoice.REPLACE and plan.copy.is_folder:
        moves.append(Move(plan.copy.path, plan.copy.original))
    else:
        _trash(project, plan.copy, plan.copy.path, edits, moves)
    keep_out_of_git(project)
    log.commit(edits, moves, reach=Reach.SHARED)


def _keep_original(
    project: Path, copy: ConflictCopy, edits: list[FileEdit], moves: list[Move]
) -> None:
    """Put into the trash what the copy replaces."""
    if copy.is_folder:
        _trash(project, copy, copy.original, edits, moves)
        return
    content = _content(project, copy.original)
    if content is not None:
        entry = new_trash_entry(KIND, "", PurePosixPath(copy.original).name, copy.original)
        path, note = entry.note
        edits += [FileEdit(path, note, None), FileEdit(entry.place, content, None)]


def _trash(
    project: Path, copy: ConflictCopy, path: str, edits: list[FileEdit], moves: list[Move]
) -> None:
    kind, record_id, label = KIND, "", PurePosixPath(path).name
    if copy.is_folder:
        kind = PurePosixPath(copy.record).stem
        document = document_of(_content(project, f"{path}/{kind}.kiln")) or {}
        record_id, label = str(document.get("id", "")), display_label(document) or label
    entry = new_trash_entry(kind, record_id or "copy", label, path)
    note, text = entry.note
    edits.append(FileEdit(note, text, None))
    moves.append(Move(path, entry.place))


# ------------------------------------------------------------ what the copy holds


def _files(project: Path, copy: ConflictCopy) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a copy with what they hold, by the paths that they copy."""
    if not copy.is_folder:
        content = _content(project, copy.path)
        if content is not None:
            yield copy.original, content
        return
    top = f"{project}/{copy.path}"
    for folder, _, names in os.walk(top):
        for name in names:
            inside = os.path.relpath(f"{folder}/{name}", top).replace(os.sep, "/")
            content = None if name.startswith(".") else _content(project, f"{copy.path}/{inside}")
            if content is not None:
                yield f"{copy.original}/{inside}", content


def _content(project: Path, path: str) -> bytes | None:
    """Return what a file holds; None if it is not there, or is no ordinary file."""
    try:
        return read_plain(project / path)
    except OSError:
        return None


def _check_same_record(project: Path, copy: ConflictCopy, versions: Mapping[str, bytes]) -> None:
    """Refuse to take in another record than the one that the copy lies beside."""
    theirs = document_of(versions.get(copy.record)) or {}
    ours = document_of(_content(project, copy.record)) or {}
    if theirs and ours and theirs.get("id") != ours.get("id"):
        raise Refusal(
            "{path} holds another record, with the id {id}, so it is no copy. Move it into a "
            "folder of its own beside the other records, or choose 'discard'.",
            path=copy.path,
            id=theirs.get("id"),
        )


# ------------------------------------------------------------ what becomes of it


def _replacement(project: Path, copy: ConflictCopy, versions: Mapping[str, bytes]) -> Settlement:
    content = versions.get(copy.record)
    if copy.is_folder and content is None:
        raise Refusal(
            "{path} has no record of its own, so it can replace none. Choose 'merge' to take in "
            "what it has, or 'discard'.",
            path=copy.path,
        )
    place = place_named(PurePosixPath(copy.record).name)
    if content is not None and place is not None:
        read_record(place.record, content, copy.path)
    was = _content(project, copy.original) if not copy.is_folder else None
    contents = {} if copy.is_folder else {copy.original: (versions[copy.original], was)}
    old = document_of(_content(project, copy.record)) or {}
    fields = field_changes(old, document_of(content) or {}) if content is not None else []
    return Settlement(copy, CopyChoice.REPLACE, versions, contents, "", tuple(fields))


def _merger(project: Path, copy: ConflictCopy, versions: Mapping[str, bytes]) -> Settlement:
    contents: dict[str, tuple[bytes, bytes | None]] = {}
    changes: list[RecordChange] = []
    other_files: list[str] = []
    conflicts: list[str] = []
    for path, theirs in sorted(versions.items()):
        ours = _content(project, path)
        result = FileMerges()
        base = _common_nothing(document_of(theirs), document_of(ours))
        merge_file(path, "", Versions(base, theirs, ours), result)
        for conflict in result.conflicts:
            result.files[conflict.path] = conflict.content
            conflicts.append(_field_text(conflict.subject))
        for target, content in result.files.items():
            was = ours if target == path else _content(project, target)
            if content is not None and content != was:
                contents[target] = (content, was)
        if path in contents and place_named(PurePosixPath(path).name) is not None:
            old, new = document_of(ours), document_of(contents[path][0])
            changes.append(RecordChange(PurePosixPath(path).stem, old, new))
        elif path in contents:
            other_files.append(path)
    own = document_of(contents[copy.record][0]) if copy.record in contents else None
    old_document = document_of(_content(project, copy.record)) or {}
    return Settlement(
        copy,
        CopyChoice.MERGE,
        versions,
        contents,
        summary(changes, other_files),
        tuple(field_changes(old_document, own)) if own else (),
        tuple(conflicts),
    )


def _field_text(subject: tuple[str, ...]) -> str:
    path, *keys = subject
    return field_name(tuple(keys)) if keys else PurePosixPath(path).name


def _common_nothing(first: Document | None, second: Document | None) -> bytes | None:
    """Return a common ancestor that has nothing where one version has nothing.

    Nobody knows what both versions come from. So two values are a conflict, and a value beside
    none is taken.
    """
    if not first or not second:
        return None
    return json.dumps(_nothing(first, second)).encode()


def _nothing(first: Document, second: Document) -> Document:
    common: Document = {}
    for key in first.keys() & second.keys():
        values = (first[key], second[key])
        if isinstance(values[0], dict) and isinstance(values[1], dict):
            common[key] = _nothing(values[0], values[1])
        elif None in values:
            common[key] = None
    return common
