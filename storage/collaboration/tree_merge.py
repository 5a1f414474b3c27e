"""Merge two commits file by file, and each record key by key. No file on disk changes."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from storage.collaboration.conflict_files import (
    ConflictFile,
    deletion_conflict_file,
    field_conflict_file,
    version_conflict_file,
)
from storage.collaboration.decisions import (
    Decisions,
    contrary_values,
    contrary_versions,
    read_decisions,
    records_to_keep,
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
from storage.git.errors import GitError
from storage.git.git import EMPTY_TREE, FileChange, Git
from storage.text.json_text import patch_json, same

_FILE_MODE = "100644"


@dataclass(frozen=True, slots=True)
class _Versions:
    base: bytes | None
    ours: bytes | None
    theirs: bytes | None


@dataclass(frozen=True, slots=True)
class _Restorations:
    """What one side deleted and the merge keeps, because the other side changed something in it.

    Attributes:
        records: The files of its topmost records.
        files: All of its files that were deleted.
    """

    records: frozenset[str]
    files: frozenset[str]


@dataclass(slots=True)
class _Result:
    """The result of a merge.

    Attributes:
        files: Files to put into our tree; None to remove one.
        conflicts: The files of the conflicts that begin.
    """

    files: dict[str, bytes | None] = field(default_factory=dict[str, bytes | None])
    conflicts: list[ConflictFile] = field(default_factory=list[ConflictFile])


def merge_commits(
    git: Git, prefix: str, ours: str, theirs: str, message: str, signature: Sequence[str]
) -> str:
    """Return a new commit with the changes of both.

    Args:
        git: Git in the repository's topmost folder.
        prefix: The project's folder within the repository, "" or ending in "/".
        ours: The commit here.
        theirs: The commit there.
        message: The new commit's message.
        signature: Git's options with the commit's author.
    """
    base = git.try_text("merge-base", ours, theirs) or EMPTY_TREE
    our_changes = {change.path: change for change in git.changes(base, ours)}
    their_changes = {change.path: change for change in git.changes(base, theirs)}
    decisions = read_decisions(git, prefix, base, our_changes, their_changes)
    result = _Result()
    paths = sorted(our_changes.keys() & their_changes)
    for path, versions in zip(paths, _versions(git, paths, base, ours, theirs), strict=True):
        _merge_file(path, prefix, versions, result)
    our_paths = [*_paths_of(our_changes), *records_to_keep(prefix, decisions.ours, our_changes)]
    their_paths = [
        *_paths_of(their_changes),
        *records_to_keep(prefix, decisions.theirs, their_changes),
    ]
    from_us = _restorations(prefix, their_changes, our_paths)
    from_them = _restorations(prefix, our_changes, their_paths)
    incoming = sorted(
        (their_changes.keys() - our_changes - from_us.files) | (from_them.files - set(paths))
    )
    contents = git.blobs([f"{theirs}:{path}" for path in incoming])
    result.files |= dict(zip(incoming, contents, strict=True))
    _reopen(git, prefix, (base, ours, theirs), decisions, result)
    for record in sorted(from_us.records | from_them.records):
        result.conflicts.append(deletion_conflict_file(record.removeprefix(prefix)))
    for conflict in result.conflicts:
        result.files[prefix + conflict.path] = conflict.content
    tree = _write_tree(git, ours, result.files)
    return git.text(*signature, "commit-tree", tree, "-p", ours, "-p", theirs, "-m", message)


def _reopen(
    git: Git, prefix: str, commits: tuple[str, str, str], decisions: Decisions, result: _Result
) -> None:
    """Open the conflicts again that were decided in two ways."""
    subjects = {conflict.subject for conflict in result.conflicts}
    for path, conflict in contrary_values(git, prefix, commits, decisions):
        if (path, *conflict.field) not in subjects:
            result.conflicts.append(field_conflict_file(path, conflict))
    for path in contrary_versions(decisions):
        (versions,) = _versions(git, [prefix + path], *commits)
        has_both = versions.ours is not None and versions.theirs is not None
        if has_both and (path,) not in subjects:
            _merge_file(prefix + path, prefix, versions, result)


def _paths_of(changes: Mapping[str, FileChange]) -> list[str]:
    """Return the files that were changed or added, but not deleted."""
    return [path for path, change in changes.items() if change.new is not None]


def _restorations(
    prefix: str, changes: Mapping[str, FileChange], paths: Sequence[str]
) -> _Restorations:
    """Return what one side deleted although the other changed or added something in it.

    Args:
        prefix: The project's folder within the repository.
        changes: The changes of the side that deleted, by path.
        paths: The files that the other side changed, added or decided to keep.
    """
    deletions = [path for path, change in changes.items() if change.new is None]
    records: dict[str, str] = {}
    for path in deletions:
        folder = path.rpartition("/")[0]
        if path.endswith(".kiln") and folder.startswith(prefix) and folder != prefix[:-1]:
            records[folder] = path
    topmost: set[str] = set()
    for path in paths:
        topmost.update([folder for folder in _folders(path) if folder in records][:1])
    files = (path for path in deletions if any(folder in topmost for folder in _folders(path)))
    return _Restorations(frozenset(records[folder] for folder in topmost), frozenset(files))


def _folders(path: str) -> list[str]:
    """Return the folders that a file lies in, the topmost first."""
    return [str(folder) for folder in reversed(PurePosixPath(path).parents)]


def _versions(git: Git, paths: list[str], base: str, ours: str, theirs: str) -> list[_Versions]:
    sides = [git.blobs([f"{side}:{path}" for path in paths]) for side in (base, ours, theirs)]
    return [_Versions(*versions) for versions in zip(*sides, strict=True)]


def _merge_file(path: str, prefix: str, versions: _Versions, result: _Result) -> None:
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


def _keep_both(path: str, prefix: str, ours: bytes, theirs: bytes, result: _Result) -> None:
    result.files[path] = theirs
    other = _other_version(path, ours)
    result.files[other] = ours
    if path.startswith(prefix):
        inside = path.removeprefix(prefix)
        result.conflicts.append(version_conflict_file(inside, other.removeprefix(prefix)))


def _merge_record(path: str, prefix: str, versions: _Versions, result: _Result) -> None:
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


def _write_tree(git: Git, start: str, files: dict[str, bytes | None]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        own_index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.run("read-tree", start, extra=own_index)
        lines: list[bytes] = []
        for path, content in files.items():
            name = path.encode("utf-8", "surrogateescape")
            if content is None:
                lines.append(b"0 " + b"0" * 40 + b"\t" + name + b"\0")
                continue
            blob = git.run("hash-object", "-w", "--stdin", stdin=content).strip()
            lines.append(f"{_FILE_MODE} ".encode() + blob + b"\t" + name + b"\0")
        git.run("update-index", "-z", "--index-info", extra=own_index, stdin=b"".join(lines))
        tree = git.run("write-tree", extra=own_index).strip().decode()
    if not tree:
        raise GitError("merge", "no tree was written")
    return tree
