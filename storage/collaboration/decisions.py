"""Conflicts that two people decided differently, each without knowing the other's decision.

A decision may leave the record as it is, and so changes no record. A merge of the records alone
would then let the other decision win unnoticed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from storage.collaboration.conflict_files import FOLDER
from storage.collaboration.conflicts import Conflict, value_at
from storage.collaboration.record_changes import Document, document_of
from storage.collaboration.three_way_merge import ABSENT, FieldConflict, Value, equal
from storage.git.git import FileChange, Git

Changes = Mapping[str, FileChange]


@dataclass(frozen=True, slots=True)
class Decisions:
    """The conflicts that each side decided since the common ancestor, by their ids."""

    ours: Mapping[str, Conflict]
    theirs: Mapping[str, Conflict]


def read_decisions(git: Git, prefix: str, base: str, ours: Changes, theirs: Changes) -> Decisions:
    """Return the conflicts that were decided.

    Args:
        git: Git in the repository's topmost folder.
        prefix: The project's folder within the repository, "" or ending in "/".
        base: The common ancestor.
        ours: What changed here since, by path.
        theirs: What changed there since, by path.
    """
    return Decisions(*(_decisions_of(git, prefix, base, side) for side in (ours, theirs)))


def _decisions_of(git: Git, prefix: str, base: str, changes: Changes) -> dict[str, Conflict]:
    start = f"{prefix}{FOLDER}/"
    paths = [path for path in changes if path.startswith(start) and changes[path].new is None]
    conflicts: dict[str, Conflict] = {}
    for content in git.blobs([f"{base}:{path}" for path in paths]):
        try:
            conflict = Conflict.model_validate_json(content or b"")
        except ValidationError:
            continue
        conflicts[conflict.id] = conflict
    return conflicts


def records_to_keep(prefix: str, conflicts: Mapping[str, Conflict], changes: Changes) -> list[str]:
    """Return the files of records that one side decided to keep."""
    paths = (
        prefix + conflict.path
        for conflict in conflicts.values()
        if not conflict.field and conflict.other is None
    )
    return [path for path in paths if path not in changes or changes[path].new is not None]


def contrary_values(
    git: Git, prefix: str, commits: Sequence[str], decisions: Decisions
) -> Iterator[tuple[str, FieldConflict]]:
    """Yield the fields that were decided and have two values, with their records' files.

    Args:
        git: Git in the repository's topmost folder.
        prefix: The project's folder within the repository, "" or ending in "/".
        commits: The common ancestor, ours and theirs.
        decisions: The conflicts that were decided.
    """
    for key, conflict in {**decisions.ours, **decisions.theirs}.items():
        if not conflict.field:
            continue
        names = [f"{commit}:{prefix}{conflict.path}" for commit in commits]
        documents = [document_of(content) for content in git.blobs(names)]
        if not all(documents):
            continue
        is_ours, is_theirs = key in decisions.ours, key in decisions.theirs
        differences = _differences(conflict, documents, is_ours=is_ours, is_theirs=is_theirs)
        if differences:
            yield conflict.path, replace(differences[0], companions=tuple(differences[1:]))


def _differences(
    conflict: Conflict, documents: Sequence[Document | None], *, is_ours: bool, is_theirs: bool
) -> list[FieldConflict]:
    """Return the fields of a conflict where the sides differ, if that needs a new decision.

    It does if both sides decided, or if the one decision left the record as it was.

    Args:
        conflict: The conflict that was decided.
        documents: The record in the common ancestor, ours and theirs.
        is_ours: Whether we decided it.
        is_theirs: Whether they did.
    """
    fields = [conflict.field, *(companion.field for companion in conflict.companions)]
    base, ours, theirs = (
        [value_at(document or {}, field) for field in fields] for document in documents
    )
    if not (is_ours and is_theirs):
        values = ours if is_ours else theirs
        if not all(map(equal, values, base)):
            return []
    return [
        FieldConflict(field, _base_value(conflict), our_value, their_value)
        for field, our_value, their_value in zip(fields, ours, theirs, strict=True)
        if not equal(our_value, their_value)
    ]


def contrary_versions(decisions: Decisions) -> list[str]:
    """Return the files beside records of which both sides chose a version."""
    keys = decisions.ours.keys() & decisions.theirs.keys()
    return sorted(decisions.ours[key].path for key in keys if decisions.ours[key].other is not None)


def _base_value(conflict: Conflict) -> Value:
    return ABSENT if conflict.base.absent else conflict.base.value
