"""Read the records of a project from their files, and note those that cannot be used."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from storage.errors import (
    CorruptRecord,
    UnreadableRecord,
    system_reason,
)
from storage.files import LINK, read_plain
from storage.format.copies import NO_IDS, copy_order
from storage.format.layout import PROJECT_FILE, folder_of, place_named, place_of
from storage.format.record_text import read_record
from storage.records import Project, Record
from storage.refusals import no_project

R = TypeVar("R", bound=Record)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordProblem:
    """A file that cannot be used.

    Attributes:
        path: Its path within the project.
        reason: What is wrong with it.
    """

    path: str
    reason: str


def read_project(folder: Path) -> Project:
    """Return the project's own record.

    Raises:
        StorageError: The folder holds no project.kiln.
        UnreadableRecord: Its project.kiln cannot be used, or a newer program wrote it.
    """
    try:
        return read_record(Project, read_plain(folder / PROJECT_FILE), PROJECT_FILE)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise no_project(folder) from error
    except IsADirectoryError as error:
        raise _unreadable_project(folder, "it is a folder, not a file") from error
    except PermissionError as error:
        raise _unreadable_project(folder, "this user may not read it") from error
    except OSError as error:
        raise _unreadable_project(folder, system_reason(error)) from error
    except CorruptRecord as error:
        raise _unreadable_project(folder, error.reason) from error


def _unreadable_project(folder: Path, reason: str) -> UnreadableRecord:
    return UnreadableRecord(
        str(folder / PROJECT_FILE),
        reason,
        "The project cannot be opened without it. Restore an earlier version of that file, from a "
        "backup or with git, and open the project again; nothing has been changed.",
    )


class RecordFiles:
    """The files of one project. Its methods block: call them in a thread.

    Attributes:
        problems: The files that could not be used so far, by their paths.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.problems: dict[str, RecordProblem] = {}

    def children(self, parent: Record, kind: type[R]) -> list[R]:
        """Return the records of a kind below a parent, the oldest first, and no conflict copy."""
        return self.views(parent, kind, lambda record: record)

    def views(self, parent: Record, kind: type[R], view: Callable[[R], T]) -> list[T]:
        """Return something of each record of a kind below a parent, as `children` orders them.

        The records themselves are let go: of a hundred thousand they would fill the memory.

        Args:
            parent: The parent.
            kind: The kind.
            view: Returns what is kept of a record.
        """
        place = place_of(kind)
        folder = self._folder / folder_of(parent.saved.path) / place.folder
        if self._is_linked(folder):
            return []
        views = [
            _View(record.created_at, record.id, path, view(record))
            for path in self._files_below(folder, place.file_name)
            if (record := self._read(kind, path)) is not None
        ]
        sorted_views = sorted(_originals(views), key=lambda own: (own.created_at, own.id))
        return [own.value for own in sorted_views]

    def _files_below(self, folder: Path, name: str) -> list[str]:
        """Return the files of a name in a folder's folders, within the project, sorted."""
        below = folder.relative_to(self._folder).as_posix()
        try:
            with os.scandir(folder) as entries:
                folders = sorted(entry.name for entry in entries)
        except OSError:
            return []
        paths = (f"{below}/{entry}/{name}" for entry in folders)
        return [path for path in paths if os.path.lexists(f"{self._folder}/{path}")]

    def _is_linked(self, place: Path) -> bool:
        """Whether a link leads to a place in the project; noted, and never followed."""
        for part in [place, *place.parents]:
            if part == self._folder:
                return False
            if part.is_symlink():
                path = part.relative_to(self._folder).as_posix()
                self.problems[path] = RecordProblem(path, LINK)
                return True
        return True

    def read(self, kind: type[R], file: Path) -> R | None:
        """Return the record of a file; None if it is not there, or cannot be used."""
        return self._read(kind, file.relative_to(self._folder).as_posix())

    def _read(self, kind: type[R], path: str) -> R | None:
        file = f"{self._folder}/{path}"
        try:
            is_linked = os.path.islink(file.rpartition("/")[0])  # noqa: PTH114 - thousands of times
            if is_linked and os.path.lexists(file):
                self.problems[path] = RecordProblem(path, LINK)
                return None
            record = read_record(kind, read_plain(file), path)
        except UnreadableRecord as error:
            self.problems[path] = RecordProblem(path, error.reason)
            return None
        except FileNotFoundError:
            return None
        except OSError as error:
            self.problems[path] = RecordProblem(path, error.strerror or str(error))
            return None
        self.problems.pop(path, None)
        return record

    def check(self, kind: type[Record], problem: RecordProblem) -> None:
        """Say what is wrong with a file, as its reader does; read again, for that says most.

        Raises:
            UnreadableRecord: It cannot be used.
        """
        file = self._folder / problem.path
        if not file.is_symlink() and file.is_file():
            with suppress(OSError):
                read_record(kind, read_plain(file), problem.path)
                return
        raise CorruptRecord(problem.path, problem.reason)

    def problems_now(self) -> dict[str, RecordProblem]:
        """Return the files that could not be used so far and cannot now; each is read again."""
        for path in list(self.problems):
            del self.problems[path]
            file = self._folder / path
            place = place_named(file.name)
            if place is not None:
                self.read(place.record, file)
            elif os.path.lexists(file):
                self._is_linked(file)
        return dict(self.problems)

    def read_all(self, kind: type[R], paths: Iterable[str]) -> dict[str, R]:
        """Return the records of files by their paths, less those that cannot be used."""
        records = ((path, self._read(kind, path)) for path in paths)
        return {path: record for path, record in records if record is not None}


class _View(NamedTuple, Generic[T]):
    """Something of a record, with what tells it from others.

    Attributes:
        created_at: When the record was created.
        id: Its id.
        path: Its file.
        value: What is kept of it.
    """

    created_at: datetime
    id: str
    path: str
    value: T


def _originals(views: list[_View[T]]) -> list[_View[T]]:
    """Return the records without those whose id one beside them has, which are copies."""
    firsts: dict[str, _View[T]] = {}
    for own in views:
        first = firsts.setdefault(own.id, own)
        if first is not own and copy_order(own.path, own.id) < copy_order(first.path, own.id):
            firsts[own.id] = own
    return [own for own in views if own.id in NO_IDS or own is firsts[own.id]]
