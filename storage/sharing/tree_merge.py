"""Merge two commits file by file, and each record key by key, without touching any file on disk."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import JsonValue

from storage.commits.side_files import is_report
from storage.errors import UnreadableRecord
from storage.format.layout import place_named
from storage.format.record_text import read_record, revision_of
from storage.git.errors import GitFailed
from storage.git.git import EMPTY_TREE, FileChange, Git
from storage.sharing.conflicts import QuestionFile, deletion_question, file_question, question_of
from storage.sharing.disagreement import (
    Answered,
    answered,
    clashing_files,
    clashing_values,
    kept_on_purpose,
)
from storage.sharing.three_way_merge import (
    ABSENT,
    Clash,
    merge_lines,
    merge_objects,
    merge_reports,
    units_joined,
)
from storage.sharing.words import document_of
from storage.text.json_text import patch_json, same

_FILE_MODE = "100644"


@dataclass(frozen=True, slots=True)
class _Versions:
    before: bytes | None
    ours: bytes | None
    theirs: bytes | None


@dataclass(frozen=True, slots=True)
class _Revived:
    """What one side deleted and is kept all the same, because the other changed something in it.

    Attributes:
        records: The topmost records of it.
        files: All that was deleted of them.
    """

    records: frozenset[str]
    files: frozenset[str]


@dataclass(slots=True)
class _Result:
    """Files to put into our tree; None to take one away."""

    files: dict[str, bytes | None] = field(default_factory=dict[str, bytes | None])
    questions: list[QuestionFile] = field(default_factory=list[QuestionFile])


def merge_commits(
    git: Git, prefix: str, ours: str, theirs: str, message: str, person: Sequence[str]
) -> str:
    """Return a new commit with the changes of both.

    Args:
        git: Git in the repository's topmost folder.
        prefix: The project's folder within the repository, "" or ending in "/".
        ours: The commit here.
        theirs: The commit there.
        message: The new commit's message.
        person: Git's options that say who makes the commit.
    """
    base = git.try_text("merge-base", ours, theirs) or EMPTY_TREE
    changed_here = {change.path: change for change in git.changes(base, ours)}
    changed_there = {change.path: change for change in git.changes(base, theirs)}
    answers = answered(git, prefix, base, changed_here, changed_there)
    result = _Result()
    both = sorted(changed_here.keys() & changed_there)
    for path, versions in zip(both, _versions(git, both, base, ours, theirs), strict=True):
        _merge_file(path, prefix, versions, result)
    chosen_here = kept_on_purpose(prefix, answers.here, changed_here)
    chosen_there = kept_on_purpose(prefix, answers.there, changed_there)
    here = _revived(prefix, changed_there, [*_left(changed_here), *chosen_here])
    there = _revived(prefix, changed_here, [*_left(changed_there), *chosen_there])
    taken = sorted((changed_there.keys() - changed_here - here.files) | (there.files - set(both)))
    contents = git.blobs([f"{theirs}:{path}" for path in taken])
    result.files |= dict(zip(taken, contents, strict=True))
    _ask_again(git, prefix, (base, ours, theirs), answers, result)
    for record in sorted(here.records | there.records):
        result.questions.append(deletion_question(record.removeprefix(prefix)))
    for question in result.questions:
        result.files[prefix + question.path] = question.content
    tree = _write_tree(git, ours, result.files)
    return git.text(*person, "commit-tree", tree, "-p", ours, "-p", theirs, "-m", message)


def _ask_again(
    git: Git, prefix: str, commits: tuple[str, str, str], answers: Answered, result: _Result
) -> None:
    """Ask the questions again that were answered in two ways."""
    asked = {question.subject for question in result.questions}
    for path, clash in clashing_values(git, prefix, commits, answers):
        if (path, *clash.field) not in asked:
            result.questions.append(question_of(path, clash))
    for path in clashing_files(answers):
        (versions,) = _versions(git, [prefix + path], *commits)
        is_there = versions.ours is not None and versions.theirs is not None
        if is_there and (path,) not in asked:
            _merge_file(prefix + path, prefix, versions, result)


def _left(changes: Mapping[str, FileChange]) -> list[str]:
    """Return the files that were changed or added, and not deleted."""
    return [path for path, change in changes.items() if change.after is not None]


def _revived(prefix: str, deleting: Mapping[str, FileChange], keeping: Sequence[str]) -> _Revived:
    """Return what one side deleted though the other changed or added something in it.

    Args:
        prefix: The project's folder within the repository.
        deleting: The changes of the side that deleted, by path.
        keeping: The files that the other side changed, added or decided to keep.
    """
    deleted = [path for path, change in deleting.items() if change.after is None]
    records: dict[str, str] = {}
    for path in deleted:
        folder = path.rpartition("/")[0]
        if path.endswith(".kiln") and folder.startswith(prefix) and folder != prefix[:-1]:
            records[folder] = path
    kept: set[str] = set()
    for path in keeping:
        kept.update([folder for folder in _folders(path) if folder in records][:1])
    files = (path for path in deleted if any(folder in kept for folder in _folders(path)))
    return _Revived(frozenset(records[folder] for folder in kept), frozenset(files))


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
        except ValueError:  # a number that JSON cannot hold, or half a character, on both sides
            _keep_both(path, prefix, ours, theirs, result)
    elif path.endswith(".jsonl"):
        texts = [_text(side) for side in (versions.before, ours, theirs)]
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
        result.questions.append(file_question(inside, other.removeprefix(prefix)))


def _merge_record(path: str, prefix: str, versions: _Versions, result: _Result) -> None:
    ours, theirs = document_of(versions.ours), document_of(versions.theirs)
    if not ours or not theirs:
        result.files[path] = versions.theirs if theirs else versions.ours
        return
    before = document_of(versions.before) or {}
    merged, clashes = merge_objects(before, ours, theirs)
    if not _is_valid(path, merged) and _is_valid(path, theirs):
        merged, clashes = theirs, _all_differences(before, ours, theirs)
    inside = path.removeprefix(prefix)
    questions = [question_of(inside, clash) for clash in clashes]
    text = patch_json(_text(versions.theirs), theirs, merged, _text(versions.ours))
    result.files[path] = text.encode()
    result.questions += questions


def _all_differences(
    before: dict[str, JsonValue], ours: dict[str, JsonValue], theirs: dict[str, JsonValue]
) -> list[Clash]:
    keys = [key for key in ours if key not in theirs or not same(ours[key], theirs[key])]
    clashes = [
        Clash((key,), before.get(key, ABSENT), ours[key], theirs.get(key, ABSENT)) for key in keys
    ]
    return units_joined(clashes, ours, theirs)


def _is_valid(path: str, document: dict[str, JsonValue]) -> bool:
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
            blob = git.run("hash-object", "-w", "--stdin", given=content).strip()
            lines.append(f"{_FILE_MODE} ".encode() + blob + b"\t" + name + b"\0")
        git.run("update-index", "-z", "--index-info", extra=own_index, given=b"".join(lines))
        tree = git.run("write-tree", extra=own_index).strip().decode()
    if not tree:
        raise GitFailed("merge", "no tree was written")
    return tree
