"""Sentences of refusals that several rooms of the store share."""

from collections.abc import Sequence
from pathlib import Path

from storage.errors import Refusal, StorageError
from storage.text.excerpts import LONGEST_REASON, excerpt
from storage.text.kind_words import kind_word


def no_project(folder: Path) -> StorageError:
    """Return the error for a folder that holds no project.kiln."""
    try:
        is_there = folder.exists()
    except OSError:  # a name that the system finds too long
        is_there = False
    fault = "holds no project.kiln" if is_there else "does not exist"
    return StorageError(
        f"{excerpt(folder)} is not a project: it {fault}. Give the folder that holds project.kiln, "
        "or create a project there."
    )


def ambiguous_name(kind: str, name: str, candidates: Sequence[str]) -> Refusal:
    """Return the error for a name that several records have.

    Args:
        kind: Their kind.
        name: The name.
        candidates: What names each of them alone.
    """
    return Refusal(
        "{count} records of kind {kind} are named '{name}'. Give one of these instead: "
        "{candidates}.",
        count=len(candidates),
        kind=kind_word(kind),
        name=name,
        candidates=candidates,
    )


def invalid_record(kind: str, reason: str) -> StorageError:
    """Return the error for a record that breaks a rule of the format."""
    return StorageError(
        f"This {kind_word(kind)} cannot be saved: {excerpt(reason, LONGEST_REASON)}. Nothing has "
        "been changed."
    )


def already_deleted(path: str) -> StorageError:
    """Return the error for a record that is to be deleted and is not there."""
    return StorageError(
        f"{excerpt(path)} was deleted already, or moved by another program. Nothing has been "
        "changed: the trash says what was deleted, when, and by whom."
    )
