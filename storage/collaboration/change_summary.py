"""A summary of what differs between two states of a project."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from pydantic import ValidationError

from storage.collaboration.conflict_files import FOLDER as CONFLICTS
from storage.collaboration.conflicts import Conflict
from storage.collaboration.record_changes import (
    CONFLICT,
    Document,
    RecordChange,
    document_of,
    summary,
)
from storage.format.layout import PROJECT_FILE, children_of, place_named
from storage.git.attributes import FILE as ATTRIBUTES_FILE
from storage.git.git import FileChange, Git


def summarize_changes(git: Git, start: str, end: str) -> str:
    """Return what differs between two trees or commits; "" for nothing."""
    changes = git.changes(start, end, "--relative")
    if not changes:
        return ""
    records = [change for change in changes if change.path.endswith(".kiln")]
    conflicts = [change for change in changes if PurePosixPath(change.path).parts[0] == CONFLICTS]
    own_paths = {change.path for change in [*records, *conflicts]}
    records.sort(key=lambda change: change.path.count("/"))  # parents are named first
    old_contents = git.blobs([change.old for change in records])
    new_contents = git.blobs([change.new for change in records])
    record_changes = [
        RecordChange(PurePosixPath(change.path).stem, document_of(old), document_of(new))
        for change, old, new in zip(records, old_contents, new_contents, strict=True)
    ]
    record_changes += _conflict_changes(git, end, conflicts)
    own_paths.add(ATTRIBUTES_FILE)
    other_paths = [change.path for change in changes if change.path not in own_paths]
    owners, loose = _owners(git, other_paths, end)
    record_changes += _owner_changes(git, owners - own_paths, end)
    return summary(record_changes, loose)


def conflict_change(
    content: bytes | None,
    read_file: Callable[[str], bytes | None],
    *,
    was_open: bool,
    is_open: bool,
) -> RecordChange:
    """Return the change of a conflict, named by its subject.

    Args:
        content: The conflict's file.
        read_file: Returns the content of the record that the conflict is about.
        was_open: Whether the conflict was open before the change.
        is_open: Whether it is open after the change.
    """
    document: Document = {}
    with suppress(ValidationError):
        conflict = Conflict.model_validate_json(content or b"")
        record = document_of(read_file(conflict.path))
        document = {"name": conflict.subject(record or {})}
    return RecordChange(CONFLICT, document if was_open else None, document if is_open else None)


def _conflict_changes(git: Git, tree: str, changes: Sequence[FileChange]) -> list[RecordChange]:
    """Return the conflicts that began or were decided."""

    def read_file(path: str) -> bytes | None:
        return git.blobs([f"{tree}:./{path}"])[0]

    contents = git.blobs([change.old or change.new for change in changes])
    return [
        conflict_change(
            content,
            read_file,
            was_open=change.old is not None,
            is_open=change.new is not None,
        )
        for change, content in zip(changes, contents, strict=True)
    ]


def pathspecs_of(path: str) -> list[str]:
    """Return git's pathspecs of a record's own file and of the files that lie beside it.

    Args:
        path: The record's file, within the project.
    """
    file = PurePosixPath(path)
    place = place_named(file.name)
    if place is not None and not children_of(place.record):
        return [f":(literal){file.parent}"]
    return [f":(literal){path}", f":(glob){_escape_glob(str(file.parent))}/*"]


def is_side_file(path: str, record: str) -> bool:
    """Return whether a file lies beside a record's file and belongs to no record below it."""
    file, folder = PurePosixPath(path), PurePosixPath(record).parent
    if file.suffix == ".kiln" or folder not in file.parents or folder == PurePosixPath():
        return False
    place = place_named(PurePosixPath(record).name)
    return file.parent == folder or (place is not None and not children_of(place.record))


def _owners(git: Git, paths: Sequence[str], tree: str) -> tuple[set[str], list[str]]:
    """Return the files of the records that files lie beside, and the files that lie elsewhere."""
    if not paths:
        return set(), []
    names = git.lines("ls-tree", "-r", "-z", "--name-only", tree, "--", ".")
    in_folder = {str(PurePosixPath(name).parent): name for name in names if name.endswith(".kiln")}
    owners: set[str] = set()
    loose: list[str] = []
    for path in paths:
        folders = (str(folder) for folder in PurePosixPath(path).parents)
        owner = next((in_folder[folder] for folder in folders if folder in in_folder), PROJECT_FILE)
        if owner == PROJECT_FILE:
            loose.append(path)
        else:
            owners.add(owner)
    return owners, loose


def _owner_changes(git: Git, paths: Iterable[str], tree: str) -> list[RecordChange]:
    """Return the changes of records of which only files beside them changed."""
    files = sorted(paths)
    documents = map(document_of, git.blobs([f"{tree}:./{path}" for path in files]))
    return [
        RecordChange(PurePosixPath(path).stem, document, document)
        for path, document in zip(files, documents, strict=True)
    ]


def _escape_glob(text: str) -> str:
    return "".join(f"\\{character}" if character in "*?[\\" else character for character in text)
