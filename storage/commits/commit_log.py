"""Put changes on disk: all of them or none, one process at a time, and never over another's.

A change to several files is first written to a journal in the project, a write-ahead log. If a
process dies in the middle, the next process of the same person settles the journal (`_settle`).
A journal that no process of this person began is never carried out, only set aside.

All new contents are written aside before the first one replaces a file. So a full disk refuses
while nothing is changed. If it refuses later, the old contents are restored.
"""

import logging
import os
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from storage.atomic_write import (
    disk_errors,
    flush_folders,
    read_only,
    remove_empty_folders,
    write_atomically,
)
from storage.border import PENDING, LinkCheck, Reach, check_links
from storage.commits.locks import LONGEST_WAIT_S, ProjectLock
from storage.commits.pending_changes import Pending, was_changed_since
from storage.commits.placement import (
    move_all_into_place,
    remove_file,
    write_into_place,
)
from storage.commits.presence import check_presence, is_blocked, missing_parents
from storage.commits.steps import ChangeRequest, Outcome, Step, independent_groups
from storage.commits.trash import FOLDER, UNWRITTEN
from storage.commits.write_ahead import FileEdit, Move, PendingChange, needed_records
from storage.errors import (
    ProjectBusy,
    StaleRevision,
    UnsafePath,
    WriteError,
)
from storage.files import read_plain
from storage.format.record_text import revision_of
from storage.git.authors import last_author
from storage.open_folders import OpenFolders
from storage.sqlite_files import make_private_folder

__all__ = ["CommitLog", "FileEdit", "Move"]

_WAIT_TO_OPEN_S: Final = 1.0
_log = logging.getLogger(__name__)


class CommitLog:
    """Commits changes to one project.

    Args:
        project: The project's folder.
        state: This person's folder for the project, with the lock.
        longest_wait_s: How long to wait for other writers.
    """

    def __init__(self, project: Path, state: Path, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        self._project = project
        self._pending = Pending(project, state)
        with disk_errors(state):
            make_private_folder(state)
        self._lock = ProjectLock(project, state / "lock", longest_wait_s)

    def recover(self) -> int:
        """Settle changes that a process began and did not finish; return how many.

        If that is not possible, as on a read-only disk, they wait for the next process.
        """
        try:
            if not self._pending.former() and not self._pending.leftovers():
                return 0
            with self._lock.hold(_WAIT_TO_OPEN_S):
                return self._finish_former() + self._finish()
        except ProjectBusy:  # the process that writes has settled it first
            return 0
        except (WriteError, UnsafePath) as error:
            _log.warning("What was begun in %s waits to be settled: %s", self._project, error)
            return 0

    def commit(
        self, edits: Sequence[FileEdit], moves: Sequence[Move] = (), *, reach: Reach = Reach.RECORDS
    ) -> None:
        """Make all changes, or none.

        Args:
            edits: Files that get a new content.
            moves: Folders that go elsewhere, after that.
            reach: Which files of the project may be touched.

        Raises:
            StaleRevision: A file is not as expected any more.
            StorageError: What is to be moved is gone.
            UnsafePath: A path leaves the project, leads through a link, or is not to be touched.
            ProjectBusy: Another process has been writing for too long.
            WriteError: The disk refused; nothing was changed.
        """
        (outcome,) = self.commit_all([ChangeRequest(edits, moves, reach)])
        if outcome.error is not None:
            raise outcome.error

    def commit_all(self, changes: Sequence[ChangeRequest]) -> list[Outcome]:
        """Make several changes under one hold of the lock, each whole or not at all.

        Changes of different files share the waits for the disk. One that is refused does not
        touch the others.

        Returns:
            What came of each change.

        Raises:
            ProjectBusy: Another process has been writing for too long.
            WriteError: The lock cannot be used.
        """
        outcomes: list[Outcome] = []
        with self.exclusive():
            for group in independent_groups(changes):
                steps = [Step(change) for change in group]
                missing = self._look_again(steps)
                self._carry_out([step for step in steps if step.pending.paths], missing)
                outcomes += [step.outcome for step in steps]
        return outcomes

    def _look_again(self, steps: Sequence[Step]) -> Collection[str]:
        """Look at each change again, now that nobody else writes; note what refuses it.

        Returns:
            Paths that are not there, which new files and folders are among.
        """
        links = LinkCheck(self._project)
        present: set[str] = set()
        for step in steps:
            try:
                step.pending = self._checked_change(step.request, links, present)
            except Exception as error:  # noqa: BLE001 - it is raised to the caller of this change
                step.error = error
        return links.missing

    def _checked_change(
        self, change: ChangeRequest, links: LinkCheck, present: set[str]
    ) -> PendingChange:
        """Return a change as it is to be made.

        Args:
            change: What was asked for.
            links: Remembers which folders are no links.
            present: Remembers which records are there.
        """
        PendingChange(change.edits, change.moves, (), change.reach).check()
        links.check(change.paths)
        if not present.issuperset(parents := needed_records(change.edits)) or change.moves:
            check_presence(self._project, change.edits, change.moves)
            present |= parents
        moves = [self._with_free_target(move) for move in change.moves]
        checks = (self._check(edit, links) for edit in change.edits)
        pairs = [(edit, was) for edit, was in checks if edit is not None]
        edits, previous = [edit for edit, _ in pairs], [was for _, was in pairs]
        return PendingChange(edits, moves, previous, change.reach)

    def _carry_out(self, steps: Sequence[Step], missing: Collection[str]) -> None:
        """Write all new contents aside, then put them in place, then wait for the disk."""
        if not steps:
            return
        self._pending.prepare()
        try:
            self._pending.write_aside(steps, missing)
        except BaseException as error:
            for step in steps:
                step.discard()
            if not isinstance(error, Exception):
                raise
            if len(steps) > 1:  # one of them cannot be written: each finds out for itself
                for step in steps:
                    self._carry_out([step], missing)
            else:
                self._refuse(steps[0], error)
            return
        with OpenFolders(self._project) as folders:
            for step in steps:
                self._put_in_place(step, folders)
        self._flush([step for step in steps if step.error is None])

    def _flush(self, steps: Sequence[Step]) -> None:
        """Wait until the disk has the names of what is in place."""
        try:
            in_place = [step for step in steps if not step.pending.moves]
            flush_folders({folder for step in in_place for folder in self._folders(step)})
        except Exception as error:  # noqa: BLE001 - it is raised to the callers of all
            for step in steps:
                self._undo(step.pending)
                self._refuse(step, error)
        for step in steps:
            step.settle()

    def _folders(self, step: Step) -> set[str]:
        """Return the folders that hold what a change has moved."""
        folders = {target.rpartition("/")[0] for _, target in step.placements}
        return {f"{self._project}/{folder}" for folder in folders}

    def _put_in_place(self, step: Step, folders: OpenFolders) -> None:
        try:
            for name, target in step.placements:
                folders.move(f"{PENDING}/{name}", target)
            if step.pending.moves:  # they may take the folders of the edits away
                flush_folders(self._folders(step))
                self._move(step.pending.moves)
        except BaseException as error:
            step.remove_fresh()  # the old contents need the space
            self._undo(step.pending)
            step.settle()
            if not isinstance(error, Exception):
                raise
            self._refuse(step, error)

    def _refuse(self, step: Step, error: Exception) -> None:
        """Note why a change was not made, and remove the folders that it has made."""
        step.error = error
        for edit in step.pending.edits:
            if edit.expected is None:
                remove_empty_folders((self._project / edit.path).parent, self._project)

    def check_room(self, folder: Path, size: int) -> None:
        """Refuse a folder of the project that new records of this size could not be saved in.

        Raises:
            WriteError: It is read-only, or there is too little space.
        """
        if not os.access(folder, os.W_OK):
            raise read_only(folder)
        self._pending.check_room(folder, size)

    @contextmanager
    def exclusive(self) -> Generator[None]:
        """Hold the project's lock, and settle the journals of dead writers.

        A journal that is still there belongs to a dead process. If it were settled later, it would
        undo what is written now.

        Raises:
            ProjectBusy: Another process has been writing for too long.
        """
        with self._lock.hold():
            self._finish()
            yield

    def _finish(self) -> int:
        """Settle the changes that this person's processes left; return how many."""
        leftovers = self._pending.leftovers()
        count = 0
        for journal in (file for file in leftovers if file.suffix == ".json"):
            with disk_errors(journal):
                change = self._pending.read_own(journal)
                if change is not None:
                    self._settle(change, journal)
                    journal.unlink()
                    count += 1
        self._pending.sweep(leftovers)
        return count

    def _finish_former(self) -> int:
        """Settle the changes whose journals an older version kept in the home; return how many."""
        former = self._pending.former()
        for journal in former:
            with disk_errors(journal):
                change = self._pending.read_former(journal)
                if change is not None:
                    self._settle(change, journal)
                    journal.unlink()
        return len(former)

    def _settle(self, change: PendingChange, journal: Path) -> None:
        """Finish a change, or undo it if another program has written since.

        Nobody was told that the change was made. So what others wrote meanwhile stays, and the
        unwritten contents of the change are kept in the trash.
        """
        self._pending.prepare()
        contents = [self._content_of(edit.path) for edit in change.edits]
        missing = missing_parents(self._project, change.edits)
        is_to_do = [
            was != edit.content
            and _revision(was) == edit.expected
            and edit.below not in missing
            and not is_blocked(self._project, edit.path)
            for edit, was in zip(change.edits, contents, strict=True)
        ]
        is_foreign = [
            was != edit.content and not to_do
            for edit, was, to_do in zip(change.edits, contents, is_to_do, strict=True)
        ]
        moves = [move for move in change.moves if self._is_to_move(move)]
        began = journal.stat().st_mtime_ns
        is_moved_since = any(
            was_changed_since(self._project / move.source, began) for move in moves
        )
        if is_moved_since or (any(is_foreign) and (moves or any(is_to_do))):
            self._undo(change)
        else:
            for edit, to_do in zip(change.edits, is_to_do, strict=True):
                if to_do:
                    write_into_place(self._project, edit.path, edit.content)
            self._move(change.moves)
        if any(is_foreign) or is_moved_since:
            self._keep_unwritten(change, self._project / UNWRITTEN / journal.stem)

    def _keep_unwritten(self, change: PendingChange, place: Path) -> None:
        check_links(self._project, [place.relative_to(self._project).as_posix()])
        for edit in change.edits:
            if (
                not edit.path.startswith(f"{FOLDER}/")
                and self._content_of(edit.path) != edit.content
            ):
                write_atomically(place / edit.path, edit.content)
        _log.warning(
            "A process died while it changed %s; another program has written there since, whose "
            "work stays. What the change would have written is kept in %s",
            ", ".join(change.paths),
            place,
        )

    def _content_of(self, path: str) -> bytes | None:
        if not os.path.isfile(f"{self._project}/{path}"):  # noqa: PTH113 - thousands of times
            return None
        return read_plain(f"{self._project}/{path}")

    def _check(self, edit: FileEdit, links: LinkCheck) -> tuple[FileEdit | None, bytes | None]:
        """Return an edit and what its file holds, where that is what the edit expects.

        An edit that commutes is repeated on what the file holds; None if that has it already.

        Args:
            edit: The edit.
            links: Has looked at its path under this hold of the lock.
        """
        is_new = edit.path.rpartition("/")[0] in links.missing
        content_on_disk = None if is_new else self._content_of(edit.path)
        revision = _revision(content_on_disk)
        if revision == edit.expected:
            return edit, content_on_disk
        if edit.rewrite is not None:
            content = edit.rewrite(content_on_disk)
            if content is None:
                return None, content_on_disk
            changed = replace(
                edit, content=content, expected=revision, record=None, tag_change=None
            )
            return changed, content_on_disk
        if content_on_disk is None:
            raise StaleRevision(edit.path, None, None)
        when = datetime.fromtimestamp((self._project / edit.path).stat().st_mtime, UTC)
        raise StaleRevision(edit.path, last_author(self._project, edit.path), when)

    def _with_free_target(self, move: Move) -> Move:
        """Return a move with a free target in the trash; a move whose target exists was made."""
        is_taken = move.target.startswith(f"{FOLDER}/") and self._is_there(move.target)
        return replace(move, target=f"{move.target}.{uuid4().hex[:8]}") if is_taken else move

    def _is_there(self, path: str) -> bool:
        return os.path.lexists(f"{self._project}/{path}")

    def _is_to_move(self, move: Move) -> bool:
        """Whether a move was not made; where something is at its target, it was."""
        return self._is_there(move.source) and not self._is_there(move.target)

    def _move(self, moves: Iterable[Move]) -> None:
        """Make the moves that were not made; one may free the place for the next."""
        to_make = ((move.source, move.target) for move in moves if self._is_to_move(move))
        move_all_into_place(self._project, to_make)

    def _undo(self, change: PendingChange) -> None:
        """Undo the finished part of a change; what it did not write stays."""
        self._move(Move(move.target, move.source) for move in reversed(change.moves))
        for edit, was in zip(change.edits, change.previous_contents, strict=True):
            path = self._project / edit.path
            if self._content_of(edit.path) != edit.content:
                continue
            if edit.expected is None:
                remove_file(self._project, edit.path)
                remove_empty_folders(path.parent, self._project)
            elif was is not None:
                write_into_place(self._project, edit.path, was)


def _revision(content: bytes | None) -> str | None:
    return None if content is None else revision_of(content)
