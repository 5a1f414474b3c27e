"""Check that the records which a change needs are there."""

from collections.abc import Sequence
from pathlib import Path

from storage.commits.write_ahead import FileEdit, Move, needed_records
from storage.errors import StaleRevision
from storage.refusals import already_deleted


def check_presence(project: Path, edits: Sequence[FileEdit], moves: Sequence[Move]) -> None:
    """Refuse to save below a record that is missing, or to move it.

    Otherwise a removed folder would be created again, without its record.

    Raises:
        StaleRevision: A record that is saved lies below nothing.
        StorageError: A record that is moved is gone.
    """
    edit_paths = {edit.path for edit in edits}
    for path in missing_parents(project, edits):
        raise StaleRevision(path, None, None, is_parent=True)
    for move in moves:
        if move.holds in edit_paths or not move.holds:
            continue
        if not (project / move.holds).is_file():
            raise already_deleted(move.holds)


def missing_parents(project: Path, edits: Sequence[FileEdit]) -> list[str]:
    """Return the files of the records that edits lie below and that are not there."""
    parents = needed_records(edits)
    return [path for path in sorted(parents) if not (project / path).is_file()]


def is_blocked(project: Path, path: str) -> bool:
    """Return whether a folder is where a file is to be, or a file where a folder is."""
    file = project / path
    return file.is_dir() or any(parent.is_file() for parent in file.parents)
