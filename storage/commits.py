"""Put changes on disk: all of them or none, one process at a time, and never over another's.

A change to several files is written to a journal in the per-user state folder first. A process
that dies in the middle leaves the journal there; the next one to open the project carries it to
its end. All new contents are written aside before the first is put in place, so that a full disk
refuses while nothing is changed; where it refuses later, the old contents are put back.
"""

import base64
import json
import logging
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from storage.authors import last_author
from storage.errors import (
    AlreadyDeleted,
    ParentTakenAway,
    StaleRevision,
    UnsafePath,
    WriteFailed,
)
from storage.files import (
    disk_errors,
    move_atomically,
    put_in_place,
    remove_empty_folders,
    remove_unfinished,
    write_aside,
    write_atomically,
)
from storage.locking import ProjectLock
from storage.reading import revision_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Edit:
    """A file's new content.

    Attributes:
        path: The file, within the project.
        content: What it is to hold.
        expected: Revision of what it holds now; None for a file that must not be there yet.
        below: The file of the record that it lies below, which must be there; None for any.
    """

    path: str
    content: bytes
    expected: str | None
    below: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A folder that goes elsewhere in the project; its parent folders there are made.

    Attributes:
        source: Where it is.
        target: Where it goes.
        holds: The record's file that must be in it; None for any.
    """

    source: str
    target: str
    holds: str | None = None


class CommitLog:
    """Commits changes to one project.

    Args:
        project: The project's folder.
        state: This person's folder for the project: lock and journal.
    """

    def __init__(self, project: Path, state: Path) -> None:
        self._project = project
        self._pending = state / "pending"
        with disk_errors(self._pending):
            self._pending.mkdir(parents=True, exist_ok=True)
        self._lock = ProjectLock(project, state / "lock")

    def recover(self) -> int:
        """Carry changes to their end that a process began and did not finish; return how many."""
        if not any(self._pending.glob("*.json")):
            return 0
        with self._lock.held():
            return self._finish()

    def commit(self, edits: Sequence[Edit], moves: Sequence[Move] = ()) -> None:
        """Make all changes, or none.

        Raises:
            StaleRevision: A file is not as expected any more.
            AlreadyDeleted: What is to be moved is gone.
            ProjectBusy: Another process has been writing for too long.
            WriteFailed: The disk refused; nothing was changed.
        """
        for edit in edits:
            _check_inside(self._project, edit.path)
        for move in moves:
            _check_inside(self._project, move.source)
            _check_inside(self._project, move.target)
        with self.alone():
            self.check_there(edits, moves)
            before = [self._checked(edit) for edit in edits]
            try:
                self._carry_out(edits, moves, before)
            except BaseException:
                for edit in edits:
                    if edit.expected is None:
                        remove_empty_folders((self._project / edit.path).parent, self._project)
                raise

    def _carry_out(
        self, edits: Sequence[Edit], moves: Sequence[Move], before: Sequence[bytes | None]
    ) -> None:
        if len(edits) + len(moves) <= 1:
            self._apply(edits, moves)
            return
        journal = self._pending / f"{uuid4().hex}.json"
        write_atomically(journal, _journal_text(edits, moves))
        with ExitStack() as aside:
            aside.callback(journal.unlink, missing_ok=True)
            fresh = [self._write_aside(edit, aside) for edit in edits]
            try:
                for file, edit in zip(fresh, edits, strict=True):
                    put_in_place(file, self._project / edit.path)
                self._apply((), moves)
            except WriteFailed:
                self._put_back(edits, before, moves)
                raise

    def check_there(self, edits: Sequence[Edit], moves: Sequence[Move]) -> None:
        """Refuse to save below what is gone, or to move it.

        A folder that was taken away would be made again otherwise, without its record.

        Raises:
            ParentTakenAway: A record that is saved lies below nothing.
            AlreadyDeleted: A record that is moved is gone.
        """
        needed = {edit.below for edit in edits if edit.below} - {edit.path for edit in edits}
        for path in sorted(needed):
            if not (self._project / path).is_file():
                raise ParentTakenAway(path)
        for move in moves:
            if move.holds and not (self._project / move.holds).is_file():
                raise AlreadyDeleted(move.holds)

    def _write_aside(self, edit: Edit, aside: ExitStack) -> Path:
        fresh = write_aside(self._project / edit.path, edit.content)
        aside.callback(fresh.unlink, missing_ok=True)
        return fresh

    @contextmanager
    def alone(self) -> Generator[None]:
        """Keep all other writers of the project out, and finish what one of them left that died.

        A journal that is still there belongs to a dead process: carried out later, it would undo
        what is written now.

        Raises:
            ProjectBusy: Another process has been writing for too long.
        """
        with self._lock.held():
            self._finish()
            yield

    def _finish(self) -> int:
        found = sorted(self._pending.glob("*.json"))
        for journal in found:
            try:
                edits, moves = _read_journal(journal)
            except (ValueError, KeyError, TypeError) as error:
                # It was written in one step: what cannot be read was damaged since.
                _log.warning("%s is set aside, for it cannot be read: %s", journal, error)
                journal.rename(journal.with_suffix(".broken"))
                continue
            self._apply(edits, moves)
            for edit in edits:
                remove_unfinished(self._project / edit.path)
            journal.unlink()
        return len(found)

    def _checked(self, edit: Edit) -> bytes | None:
        """Return what a file holds, where that is what the edit expects."""
        path = self._project / edit.path
        held = path.read_bytes() if path.exists() else None
        revision = None if held is None else revision_of(held)
        if revision == edit.expected:
            return held
        if held is None:
            raise StaleRevision(edit.path, None, None)
        when = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        raise StaleRevision(edit.path, last_author(self._project, edit.path), when)

    def _apply(self, edits: Iterable[Edit], moves: Iterable[Move]) -> None:
        """Make changes; those that are made already stay as they are."""
        for edit in edits:
            write_atomically(self._project / edit.path, edit.content)
        for move in moves:
            source = self._project / move.source
            if source.exists():
                move_atomically(source, self._project / move.target)

    def _put_back(
        self, edits: Sequence[Edit], before: Sequence[bytes | None], moves: Sequence[Move]
    ) -> None:
        for move in moves:
            target = self._project / move.target
            if target.exists():
                move_atomically(target, self._project / move.source)
        for edit, held in zip(edits, before, strict=True):
            path = self._project / edit.path
            if held is None:
                path.unlink(missing_ok=True)
            elif not path.exists() or path.read_bytes() != held:
                write_atomically(path, held)


def _check_inside(project: Path, path: str) -> None:
    """Refuse a path that leaves the project, also through a link.

    Raises:
        UnsafePath: It does.
    """
    inside = Path(path)
    if inside.is_absolute() or ".." in inside.parts:
        raise UnsafePath(path)
    if not (project / inside).resolve().is_relative_to(project.resolve()):
        raise UnsafePath(path)


def _journal_text(edits: Iterable[Edit], moves: Iterable[Move]) -> bytes:
    data = {
        "edits": [[e.path, base64.b64encode(e.content).decode(), e.expected] for e in edits],
        "moves": [[m.source, m.target] for m in moves],
    }
    return json.dumps(data).encode()


def _read_journal(file: Path) -> tuple[list[Edit], list[Move]]:
    data = json.loads(file.read_bytes())
    edits = [Edit(path, base64.b64decode(text), was) for path, text, was in data["edits"]]
    return edits, [Move(source, target) for source, target in data["moves"]]
