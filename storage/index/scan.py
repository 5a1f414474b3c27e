"""Walk a project's folders: which records are there, and when their files last changed."""

import errno
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Final, NamedTuple

from storage.files import LINK, NO_FILE
from storage.format.layout import PROJECT_FILE, Place, children_of, place_named, place_of
from storage.index.rows import RecordValues
from storage.records import Record
from storage.refusals import no_project

NO_FOLDER: Final = "it is a file, where a folder of records has to be"
_PART = 1000
_ONLY_ITSELF = 2
"""Links of a folder without subfolders, where the file system counts them."""


class FileState(NamedTuple):
    """The state of a record's file, compared to detect changes.

    Attributes:
        path: The file, within the project, with forward slashes.
        changed_ns: When it last changed, in nanoseconds.
        size: Bytes.
        below: Whether there may be records below it, 0 or 1.
    """

    path: str
    changed_ns: int
    size: int
    below: int


class TagChange(NamedTuple):
    """A change of a record's file that changes nothing but its tags.

    Attributes:
        previous_state: When the file was changed that it was made of, in nanoseconds, and its size.
        tags: The tags.
    """

    previous_state: tuple[int, int]
    tags: tuple[str, ...]


class WrittenFile(NamedTuple):
    """A file that this store has written itself.

    Attributes:
        path: The file, within the project.
        state: When it was written, in nanoseconds, and its size; None if that is not known.
        record: The record that it holds, or its values; None if the writer has none.
        tag_change: Set if nothing but its tags has changed.
    """

    path: str
    state: tuple[int, int] | None = None
    record: Record | RecordValues | None = None
    tag_change: TagChange | None = None


PlainState = tuple[str, int, int, int]
"""The same as a `FileState`: there are many, and most are only compared."""


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A record's file.

    Attributes:
        state: The file and how it is.
        parent: The file of its parent record; "" for the project.
        kind: The kind that its name says.
    """

    state: FileState
    parent: str
    kind: str


def project_state(root: Path) -> FileState:
    """Return the state of the project's own file.

    Raises:
        StorageError: It is not there any more.
    """
    try:
        status = os.lstat(root / PROJECT_FILE)
    except FileNotFoundError as error:
        raise no_project(root) from error
    return FileState(PROJECT_FILE, status.st_mtime_ns, status.st_size, 1)


def states(
    root: Path, folder: str, place: Place, skipped_files: dict[str, str]
) -> Iterator[list[PlainState]]:
    """Yield the states of the files of one kind of record below one parent, sorted by path.

    Links are not followed: what they point to may lie outside of the project.

    Args:
        root: The project's folder.
        folder: The folder that holds a folder for each of the records, within the project.
        place: The kind.
        skipped_files: Gets what lies in a record's place and is not read, by its path, and why.

    Returns:
        Parts of what is there, none of them empty.
    """
    part: list[PlainState] = []
    may_branch = bool(children_of(place.record))
    file_name = place.file_name
    names = _folders(root, folder, skipped_files)
    with _shorter_paths(f"{root}/{folder}") as (top, at):
        for name in names:
            own = top + name
            try:
                status = os.stat(own + file_name, dir_fd=at, follow_symlinks=False)
                below = int(
                    may_branch
                    and os.stat(own, dir_fd=at, follow_symlinks=False).st_nlink != _ONLY_ITSELF
                )
            except OSError:
                continue
            path = f"{folder}/{name}{file_name}"
            if S_ISREG(status.st_mode):
                part.append((path, status.st_mtime_ns, status.st_size, below))
                if len(part) == _PART:
                    yield part
                    part = []
            else:
                skipped_files[path] = LINK if S_ISLNK(status.st_mode) else NO_FILE
    if part:
        yield part


def record_paths(root: Path, folder: str, place: Place, skipped_files: dict[str, str]) -> list[str]:
    """Return the paths where the records of one kind below one parent can be, sorted.

    Args:
        root: The project's folder.
        folder: The folder that holds a folder for each of the records, within the project.
        place: The kind.
        skipped_files: Gets the links, by their path, and why they are not followed.
    """
    names = _folders(root, folder, skipped_files)
    return [f"{folder}/{name}{place.file_name}" for name in names]


@contextmanager
def _shorter_paths(folder: str) -> Generator[tuple[str, int | None]]:
    """Hold a folder open where that is possible: the system finds its files sooner then.

    Yields:
        What the paths of files in it begin with, and the open folder they are relative to.
    """
    at = None
    if os.stat in os.supports_dir_fd:
        with suppress(OSError):
            at = os.open(folder, os.O_RDONLY)
    try:
        yield (f"{folder}/" if at is None else "", at)
    finally:
        if at is not None:
            os.close(at)


def find(root: Path, path: str, state: tuple[int, int] | None = None) -> RecordFile | None:
    """Return the record's file of this path as a walk would, None if there is none.

    Args:
        root: The project's folder.
        path: The file, within the project.
        state: When it was written, and its size, if this program has just written it: it is not
            looked at again.
    """
    place = place_named(path.rpartition("/")[2])
    file = f"{root}/{path}"
    try:
        changed_ns, size = state or plain_state(file)
        links = os.lstat(file.rpartition("/")[0]).st_nlink
    except OSError:
        return None
    if place is None:
        return None
    parent, below = "", 1
    if place.parents:
        above = path.rsplit("/", 3)[0] if path.count("/") > 2 else ""
        files = _parent_files(above, place)
        parent = files[0]
        if len(files) > 1:
            parent = next((file for file in files if os.path.exists(f"{root}/{file}")), parent)  # noqa: PTH110
        below = int(bool(children_of(place.record)) and links != _ONLY_ITSELF)
    file_state = FileState(path, changed_ns, size, below)
    return RecordFile(file_state, parent, place.record.type_name())


@lru_cache(maxsize=64)
def _parent_files(above: str, place: Place) -> tuple[str, ...]:
    """Return the files, in a folder, of the records that one of a kind may lie below."""
    return tuple(f"{above}/{place_of(kind).file_name}".lstrip("/") for kind in place.parents)


def plain_state(file: str) -> tuple[int, int]:
    """Return when an ordinary file was changed, in nanoseconds, and its size.

    Raises:
        OSError: There is none.
    """
    status = os.lstat(file)
    if not S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, NO_FILE, file)
    return status.st_mtime_ns, status.st_size


def _folders(root: Path, folder: str, skipped_files: dict[str, str]) -> list[str]:
    """Return the names of a folder's folders, each with a slash, in the order of their paths."""
    names: list[str] = []
    try:
        mode = os.lstat(f"{root}/{folder}").st_mode
        if not S_ISDIR(mode):
            skipped_files[folder] = LINK if S_ISLNK(mode) else NO_FOLDER
            return []
        with os.scandir(f"{root}/{folder}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    names.append(entry.name + "/")
                elif entry.is_symlink() and _is_text(entry.name) and entry.is_dir():
                    skipped_files[f"{folder}/{entry.name}"] = LINK
    except OSError:
        return []
    if not all(map(str.isascii, names)):
        names = [name for name in names if _is_text(name)]
    names.sort()
    return names


def _is_text(name: str) -> bool:
    """Whether a name is text: no program of ours or Kiln's writes others."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
