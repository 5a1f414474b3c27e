"""The changes of a group on their way to the disk, each whole or not at all."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from storage.atomic_write import FreshFile, remove_fresh
from storage.border import Reach
from storage.commits.write_ahead import FileEdit, Move, PendingChange
from storage.format.layout import folders_above
from storage.index.scan import WrittenFile

LARGEST_GROUP: Final = 256
"""Changes that share one wait for the disk."""


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """A change that a caller asks for.

    Attributes:
        edits: Files that get a new content.
        moves: Folders that go elsewhere, after that.
        reach: Which files of the project may be touched.
    """

    edits: Sequence[FileEdit]
    moves: Sequence[Move] = ()
    reach: Reach = Reach.RECORDS

    @property
    def paths(self) -> tuple[str, ...]:
        """All that it touches, within the project."""
        return PendingChange(self.edits, self.moves, ()).paths


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a change.

    Attributes:
        error: What refused it; None if it was made.
        files: The files that it wrote, and those that had its content already.
    """

    error: Exception | None
    files: Sequence[WrittenFile] = ()


@dataclass(slots=True)
class Step:
    """A change of a group while it is made.

    Attributes:
        request: What was asked for.
        pending: What is made of it under the lock; None until it has been checked.
        fresh: The new contents, written aside.
        journal: The file of its write-ahead log.
        error: Why it was refused; None so far.
    """

    request: ChangeRequest
    pending: PendingChange = field(default_factory=lambda: PendingChange((), (), ()))
    fresh: Sequence[FreshFile] = ()
    journal: Path | None = None
    error: Exception | None = None

    @property
    def outcome(self) -> "Outcome":
        """What came of it."""
        if self.error is not None:
            return Outcome(self.error)
        files = [
            WrittenFile(edit.path, (file.changed_ns, file.size), edit.record, edit.tag_change)
            for edit, file in zip(self.pending.edits, self.fresh, strict=True)
        ]
        changed_paths = {file.path for file in files}
        same = [edit.path for edit in self.request.edits if edit.path not in changed_paths]
        return Outcome(None, (*files, *map(WrittenFile, same)))

    @property
    def placements(self) -> Iterator[tuple[str, str]]:
        """What is moved into place: each name aside, and where it goes within the project."""
        for file, edit in zip(self.fresh, self.pending.edits, strict=True):
            is_folder = file.folder is not None
            name = (file.folder or file.path).rpartition(os.sep)[2]
            yield name, edit.path.rpartition("/")[0] if is_folder else edit.path

    def remove_fresh(self) -> None:
        """Remove what waits aside."""
        remove_fresh(self.fresh)

    def discard(self) -> None:
        """Remove what was written aside."""
        self.remove_fresh()
        self.settle()
        self.fresh = ()

    def settle(self) -> None:
        """Remove the write-ahead log: the change is made, or undone."""
        if self.journal is not None:
            self.journal.unlink(missing_ok=True)


def independent_groups(changes: Sequence[ChangeRequest]) -> Iterator[Sequence[ChangeRequest]]:
    """Yield changes in order, in groups whose members neither share a file nor need each other.

    A change that moves folders is a group of its own, because others may lie in them.
    """
    group: list[ChangeRequest] = []
    paths: set[str] = set()
    for change in changes:
        touched_paths = {*change.paths, *(edit.below for edit in change.edits if edit.below)}
        is_apart = bool(change.moves) or not paths.isdisjoint(touched_paths)
        if group and (is_apart or group[-1].moves or len(group) >= LARGEST_GROUP):
            yield group
            group, paths = [], set()
        group.append(change)
        paths.update(change.paths)
    if group:
        yield group


def folders_of_one(steps: Iterable[Step], missing: Collection[str]) -> frozenset[str]:
    """Return the folders that are not there and of which each is to hold one file and no folder.

    Args:
        steps: The changes of a group.
        missing: Paths that are not there.
    """
    edits = (edit for step in steps for edit in step.pending.edits)
    counts = Counter(edit.path.rpartition("/")[0] for edit in edits)
    candidates = {folder for folder, number in counts.items() if number == 1 and folder in missing}
    branching: set[str] = set()
    for folder in counts:
        for above in folders_above(folder):
            if above in branching:
                break
            branching.add(above)
    return frozenset(candidates - branching)
