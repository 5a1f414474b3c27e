"""Merge two versions of one file of a project; a record key by key. No file on disk changes."""

import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from storage.collaboration.conflict_files import (
    ConflictFile,
    field_conflict_file,
    version_conflict_file,
)
from storage.collaboration.record_changes import Document, document_of
from storage.collaboration.three_way_merge import (
    ABSENT,
    FieldConflict,
    join_units,
    merge_lines,
    merge_objects,
    merge_reports,
)
from storage.commits.side_files import is_report
from storage.errors import UnreadableRecord
from storage.format.layout import place_named
from storage.format.record_text import read_record, revision_of
from storage.text.json_text import patch_json, same


@dataclass(frozen=True, slots=True)
class Versions:
    """A file's bytes in the common ancestor, ours and theirs; None if it is not there."""

    base: bytes | None
    ours: bytes | None
    theirs: bytes | None


@dataclass(slots=True)
class FileMerges:
    """The result of a merge.

    Attributes:
        files: Files to put into our tree; None to remove one.
        conflicts: The files of the conflicts that begin.
    """

    files: dict[str, bytes | None] = field(default_factory=dict[str, bytes | None])
    conflicts: list[ConflictFile] = field(default_factory=list[ConflictFile])


def merge_file(path: str, prefix: str, versions: Versions, result: FileMerges) -> None:
    """Merge the versions of one file; of a field in conflict their value is kept.

    Args:
        path: The file within the repository.
        prefix: The project's folder within the repository, "" or ending in "/".
        versions: What it holds on either side.
        result: Gets the file and what conflicts.
    """
    ours, theirs = versions.ours, versions.theirs
    if ours == theirs:
        return
    if ours is None or theirs is None:
        result.files[path] = theirs if ours is None else ours
    elif path.endswith(".kiln"):
        try:
            _merge_record(path, prefix, versions, result)
        except ValueError:  # a number that JSON cannot hold, or a lone surrogate, on both sides
            _keep_both(path, prefix, ours, theirs, result)
    elif path.endswith(".jsonl"):
        texts = [_text(side) for side in (versions.base, ours, theirs)]
        result.files[path] = merge_lines(*texts).encode("utf-8", "surrogateescape")
    elif is_report(path) and (merged := merge_reports(ours, theirs)) is not None:
        result.files[path] = merged
    else:
        _keep_both(path, prefix, ours, theirs, result)


def _keep_both(path: str, prefix: str, ours: bytes, theirs: bytes, result: FileMerges) -> None:
    result.files[path] = theirs
    other = _other_version(path, ours)
    result.files[other] = ours
    if path.startswith(prefix):
        inside = path.removeprefix(prefix)
        result.conflicts.append(version_conflict_file(inside, other.removeprefix(prefix)))


def _merge_record(path: str, prefix: str, versions: Versions, result: FileMerges) -> None:
    ours, theirs = document_of(versions.ours), document_of(versions.theirs)
    if not ours or not theirs:
        result.files[path] = versions.theirs if theirs else versions.ours
        return
    base = document_of(versions.base) or {}
    merged, conflicts = merge_objects(base, ours, theirs)
    if not _is_valid(path, merged) and _is_valid(path, theirs):
        merged, conflicts = theirs, _all_differences(base, ours, theirs)
    inside = path.removeprefix(prefix)
    files = [field_conflict_file(inside, conflict) for conflict in conflicts]
    text = patch_json(_text(versions.theirs), theirs, merged, _text(versions.ours))
    result.files[path] = text.encode()
    result.conflicts += files


def _all_differences(base: Document, ours: Document, theirs: Document) -> list[FieldConflict]:
    keys = [key for key in ours if key not in theirs or not same(ours[key], theirs[key])]
    conflicts = [
        FieldConflict((key,), base.get(key, ABSENT), ours[key], theirs.get(key, ABSENT))
        for key in keys
    ]
    return join_units(conflicts, ours, theirs)


def _is_valid(path: str, document: Document) -> bool:
    place = place_named(PurePosixPath(path).name)
    if place is None:
        return True
    try:
        read_record(place.record, json.dumps(document).encode(), path)
    except UnreadableRecord:
        return False
    return True


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "surrogateescape")


def _other_version(path: str, content: bytes) -> str:
    name = PurePosixPath(path)
    mark = revision_of(content)[:6]
    return str(name.with_name(f"{name.stem} (other version {mark}){name.suffix}"))
