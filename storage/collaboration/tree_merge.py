"""Merge two commits file by file, and each record key by key. No file on disk changes."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from storage.collaboration.conflict_files import (
    deletion_conflict_file,
    field_conflict_file,
)
from storage.collaboration.decisions import (
    Decisions,
    contrary_values,
    contrary_versions,
    read_decisions,
    records_to_keep,
)
from storage.collaboration.file_merge import FileMerges, Versions, merge_file
from storage.git.errors import GitError
from storage.git.git import EMPTY_TREE, FileChange, Git

_FILE_MODE = "100644"


@dataclass(frozen=True, slots=True)
class _Restorations:
    """What one side deleted and the merge keeps, because the other side changed something in it.

    Attributes:
        records: The files of its topmost records.
        files: All of its files that were deleted.
    """

    records: frozenset[str]
    files: frozenset[str]


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
    result = FileMerges()
    paths = sorted(our_changes.keys() & their_changes)
    for path, versions in zip(paths, _versions(git, paths, base, ours, theirs), strict=True):
        merge_file(path, prefix, versions, result)
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
    git: Git, prefix: str, commits: tuple[str, str, str], decisions: Decisions, result: FileMerges
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
            merge_file(prefix + path, prefix, versions, result)


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


def _versions(git: Git, paths: list[str], base: str, ours: str, theirs: str) -> list[Versions]:
    sides = [git.blobs([f"{side}:{path}" for path in paths]) for side in (base, ours, theirs)]
    return [Versions(*versions) for versions in zip(*sides, strict=True)]


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
