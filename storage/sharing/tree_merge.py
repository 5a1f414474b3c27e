"""Merge two commits file by file, and each record key by key, without touching any file on disk."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import JsonValue

from storage.errors import UnreadableRecord
from storage.json_text import patch_json, same
from storage.layout import place_named, place_of
from storage.reading import read_record, revision_of
from storage.sharing.errors import GitFailed
from storage.sharing.git import EMPTY_TREE, Git
from storage.sharing.merging import ABSENT, Clash, merge_lines, merge_objects
from storage.sharing.questions import QuestionFile, deletion_question, question_of
from storage.sharing.words import document_of

_FILE_MODE = "100644"


@dataclass(frozen=True, slots=True)
class _Versions:
    before: bytes | None
    ours: bytes | None
    theirs: bytes | None


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
    changed_here = set(_changed(git, base, ours))
    changed_there = set(_changed(git, base, theirs))
    result = _Result()
    both = sorted(changed_here & changed_there)
    for path, versions in zip(both, _versions(git, both, base, ours, theirs), strict=True):
        _merge_file(path, prefix, versions, result)
    theirs_alone = sorted(changed_there - changed_here)
    contents = git.blobs([f"{theirs}:{path}" for path in theirs_alone])
    result.files |= dict(zip(theirs_alone, contents, strict=True))
    _restore_parents(git, prefix, (base, ours, theirs), changed_here | changed_there, result)
    for question in result.questions:
        result.files[prefix + question.path] = question.content
    tree = _write_tree(git, ours, result.files)
    return git.text(*person, "commit-tree", tree, "-p", ours, "-p", theirs, "-m", message)


def _changed(git: Git, before: str, after: str) -> list[str]:
    return git.lines("diff", "--name-only", "--no-renames", "-z", before, after)


def _versions(git: Git, paths: list[str], base: str, ours: str, theirs: str) -> list[_Versions]:
    sides = [git.blobs([f"{side}:{path}" for path in paths]) for side in (base, ours, theirs)]
    return [_Versions(*versions) for versions in zip(*sides, strict=True)]


def _merge_file(path: str, prefix: str, versions: _Versions, result: _Result) -> None:
    ours, theirs = versions.ours, versions.theirs
    if ours == theirs:
        return
    is_record = path.endswith(".kiln")
    if ours is None or theirs is None:
        result.files[path] = ours or theirs
        if is_record:
            result.questions.append(deletion_question(path.removeprefix(prefix)))
    elif is_record:
        _merge_record(path, prefix, versions, result)
    elif path.endswith(".jsonl"):
        texts = [_text(side) for side in (versions.before, ours, theirs)]
        result.files[path] = merge_lines(*texts).encode("utf-8", "surrogateescape")
    else:
        result.files[path] = theirs
        result.files[_other_version(path, ours)] = ours


def _merge_record(path: str, prefix: str, versions: _Versions, result: _Result) -> None:
    ours, theirs = document_of(versions.ours), document_of(versions.theirs)
    if not ours or not theirs:
        result.files[path] = versions.theirs if theirs else versions.ours
        return
    before = document_of(versions.before) or {}
    merged, clashes = merge_objects(before, ours, theirs)
    if not _is_valid(path, merged) and _is_valid(path, theirs):
        merged, clashes = theirs, _all_differences(before, ours, theirs)
    result.files[path] = patch_json(_text(versions.theirs), theirs, merged).encode()
    inside = path.removeprefix(prefix)
    result.questions += [question_of(inside, clash) for clash in clashes]


def _all_differences(
    before: dict[str, JsonValue], ours: dict[str, JsonValue], theirs: dict[str, JsonValue]
) -> list[Clash]:
    keys = [key for key in ours if key not in theirs or not same(ours[key], theirs[key])]
    return [
        Clash((key,), before.get(key, ABSENT), ours[key], theirs.get(key, ABSENT)) for key in keys
    ]


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


def _restore_parents(
    git: Git, prefix: str, sides: tuple[str, str, str], changed: set[str], result: _Result
) -> None:
    """Keep the records above what one side changed, where the other side deleted them."""
    _, ours, _ = sides
    held = set(git.lines("ls-tree", "-r", "-z", "--name-only", ours))
    held |= {path for path, content in result.files.items() if content is not None}
    held -= {path for path, content in result.files.items() if content is None}
    for path in sorted(changed & held):
        for parent in _parents(path, prefix):
            if parent in held:
                continue
            content = next(
                (c for c in git.blobs([f"{side}:{parent}" for side in sides]) if c), None
            )
            if content is not None:
                result.files[parent] = content
                result.questions.append(deletion_question(parent.removeprefix(prefix)))
                held.add(parent)


def _parents(path: str, prefix: str) -> list[str]:
    inside = PurePosixPath(path.removeprefix(prefix))
    place = place_named(inside.name)
    found: list[str] = []
    while place is not None and place.parents and len(inside.parts) > len(("a", "b", "c.kiln")):
        place = place_of(place.parents[0])
        inside = inside.parent.parent.parent / place.file_name
        found.append(prefix + str(inside))
    return found


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
