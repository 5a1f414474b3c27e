"""Pending changes of a project: journals and files written aside, in the project's trash.

A stranger may have put files there. A journal counts only if a process of this person
began it (`seal.py`) and it touches nothing but what a change of a project may (`border.py`). All
else is moved to `.trash/foreign`, where it is named among the project's problems.
"""

import errno
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from stat import S_IMODE
from typing import Final
from uuid import uuid4

from storage.atomic_write import (
    UNFINISHED,
    check_room,
    disk_errors,
    move_atomically,
    write_all_aside,
    write_atomically,
)
from storage.border import FOREIGN, PENDING, check_links, has_links
from storage.commits.placement import parent_maker
from storage.commits.seal import JournalSeal
from storage.commits.steps import Step, folders_of_one
from storage.commits.trash import keep_out_of_git
from storage.commits.write_ahead import PendingChange
from storage.errors import UnsafePath
from storage.files import read_plain
from storage.open_folders import OpenFolders

FOREIGN_REASON: Final = (
    "it came with the folder and says that a change was under way, but no process of yours on this "
    "machine began it, or it touches what no change of a project does. It was not carried out. "
    "Look at what it would write if you trust its maker, then empty the trash"
)
_LONGEST_STEM: Final = 80
_NO_JOURNAL: Final = frozenset({errno.ELOOP, errno.EINVAL, errno.EISDIR, errno.EFBIG})
"""A link, a pipe or device, a folder, or more bytes than any journal has."""
_log = logging.getLogger(__name__)


class Pending:
    """The changes under way in one project. Use it while all other writers are kept out.

    Args:
        project: The project's folder.
        state: This person's folder for the project.
    """

    def __init__(self, project: Path, state: Path) -> None:
        self._project = project
        self._folder = project / PENDING
        self._former = state / "pending"
        self._seal = JournalSeal(state)

    def prepare(self) -> None:
        """Make the folder for pending changes; all who may write to the project may write here."""
        if self._folder.is_dir():
            return
        keep_out_of_git(self._project)
        with disk_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with suppress(PermissionError):  # a disk without such modes
                self._folder.chmod(S_IMODE(self._project.stat().st_mode))

    def check_room(self, folder: Path, size: int) -> None:
        """Refuse a folder of the project that new files of this size would not fit into.

        The small file that shows it may be swept away by another writer, which changes nothing.

        Raises:
            WriteError: It is read-only, or there is too little space.
        """
        check_links(self._project, [PENDING])
        self.prepare()
        check_room(folder, size, self._folder)

    def write_aside(self, steps: Sequence[Step], missing: Collection[str] = ()) -> None:
        """Write the new contents of changes aside, and the journals of those that need one.

        A change of one file alone needs no journal.

        Args:
            steps: The changes of a group.
            missing: Paths within the project that are not there.

        Raises:
            WriteError: The disk refused; nothing was changed.
        """
        files = [
            (f"{self._project}/{edit.path}", edit.content)
            for step in steps
            for edit in step.pending.edits
        ]
        with OpenFolders(self._project) as folders:
            make_parent = self._maker_of_new_parents(steps, folders)
            new_folders = {f"{self._project}/{own}" for own in folders_of_one(steps, missing)}
            fresh = iter(write_all_aside(files, self._folder, make_parent, new_folders))
        for step in steps:
            step.fresh = tuple(islice(fresh, len(step.pending.edits)))
        for step in steps:
            if len(step.pending.paths) > 1:
                step.journal = self._folder / f"{uuid4().hex}.json"
                write_atomically(step.journal, self._seal.mark(step.pending.text()))

    def _maker_of_new_parents(
        self, steps: Sequence[Step], folders: OpenFolders
    ) -> Callable[[str], None]:
        """Return what makes a folder of new files; the folder of a file that is there is, too."""
        new_folders = {
            f"{self._project}/{edit.path}".rpartition("/")[0]
            for step in steps
            for edit in step.pending.edits
            if edit.expected is None
        }
        make = parent_maker(self._project, folders)

        def make_parent(folder: str) -> None:
            if folder in new_folders:
                make(folder)

        return make_parent

    def leftovers(self) -> list[Path]:
        """Return what processes that died left of what they had under way.

        Raises:
            UnsafePath: The folder for it is a link: what is there is not ours to touch.
        """
        check_links(self._project, [PENDING])
        with disk_errors(self._folder):
            try:
                return sorted(self._folder.iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []

    def former(self) -> list[Path]:
        """Return the journals that an older version left in the home."""
        return sorted(self._former.glob("*.json"))

    def read_former(self, journal: Path) -> PendingChange | None:
        """Return the change of a journal in the home; None if it was damaged and set aside."""
        try:
            change = PendingChange.read(read_plain(journal))
        except (ValueError, KeyError, TypeError, RecursionError):
            change = None
        if change is not None and self._is_safe(change):
            return change
        _log.warning("%s cannot be used and is set aside", journal)
        journal.rename(journal.with_suffix(".broken"))
        return None

    def read_own(self, journal: Path) -> PendingChange | None:
        """Return the change that a process of this person began; None for any other, put aside."""
        try:
            text = self._seal.text_of(read_plain(journal))
        except OSError as error:
            if error.errno not in _NO_JOURNAL:
                raise
            text = None
        change = None if text is None else PendingChange.read(text)
        if change is not None and self._is_safe(change):
            return change
        self._put_aside(journal)
        return None

    def sweep(self, leftovers: Sequence[Path]) -> None:
        """Take away what was written aside and not put in place."""
        for file in leftovers:
            if file.suffix != ".new":
                continue
            if file.is_dir() and not file.is_symlink():
                self._sweep_folder(file)
            else:
                file.unlink(missing_ok=True)

    def _sweep_folder(self, folder: Path) -> None:
        """Take away a folder that was written aside, which holds one file at most."""
        content = list(islice(folder.iterdir(), 2))
        has_folder = any(file.is_dir() and not file.is_symlink() for file in content)
        if not UNFINISHED.fullmatch(folder.name) or len(content) > 1 or has_folder:
            self._put_aside(folder)
            return
        for file in content:
            file.unlink(missing_ok=True)
        folder.rmdir()

    def _is_safe(self, change: PendingChange) -> bool:
        try:
            change.check()
            check_links(self._project, change.paths)
        except UnsafePath:
            return False
        return True

    def _put_aside(self, entry: Path) -> None:
        check_links(self._project, [FOREIGN])
        place = self._project / FOREIGN / f"{entry.stem[:_LONGEST_STEM]}.{uuid4().hex[:8]}"
        move_atomically(entry, place)
        _log.warning("%s was begun by nobody here; it was not carried out: see %s", entry, place)


def list_foreign(project: Path) -> list[str]:
    """Return what a stranger left among what was under way, within the project."""
    if has_links(project, FOREIGN):
        return []
    return sorted(f"{FOREIGN}/{entry.name}" for entry in (project / FOREIGN).glob("*"))


def was_changed_since(path: Path, began_ns: int) -> bool:
    """Whether a file, or any in a folder, was written since, or put there."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    states = (file.lstat() for file in files if file.is_symlink() or not file.is_dir())
    return any(max(state.st_mtime_ns, state.st_ctime_ns) >= began_ns for state in states)
