"""Walk a project's folders: which records are there, and when their files last changed."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from storage.layout import PROJECT_FILE, Place, children_of, place_named, place_of
from storage.records import Project

_ONLY_ITSELF = 2
"""Links of a folder without subfolders, where the file system counts them."""


@dataclass(frozen=True, slots=True)
class Found:
    """A record's file.

    Attributes:
        path: The file, within the project, with forward slashes.
        parent: The file of its parent record; "" for the project.
        kind: The kind that its name says.
        changed_ns: When the file last changed, in nanoseconds.
        size: Bytes.
    """

    path: str
    parent: str
    kind: str
    changed_ns: int
    size: int


def scan(root: Path) -> Iterator[Found]:
    """Yield every record's file below a project's folder, parents before children.

    Links are not followed: what they point to may lie outside of the project.
    """
    status = os.lstat(root / PROJECT_FILE)
    kind = Project.type_name()
    yield Found(PROJECT_FILE, "", kind, status.st_mtime_ns, status.st_size)
    yield from _below(str(root), "", PROJECT_FILE, place_of(Project))


def find(root: Path, path: str) -> Found | None:
    """Return the record's file of this path as a scan would, None where there is none."""
    place = place_named(path.rpartition("/")[2])
    try:
        status = os.lstat(root / path)
    except OSError:
        return None
    if place is None or not S_ISREG(status.st_mode):
        return None
    parent = ""
    if place.parents:
        above = PurePosixPath(path).parents[2]
        files = [str(above / place_of(kind).file_name) for kind in place.parents]
        parent = next((file for file in files if (root / file).exists()), files[0])
    return Found(path, parent, place.record.type_name(), status.st_mtime_ns, status.st_size)


def _below(root: str, folder: str, parent: str, place: Place) -> Iterator[Found]:
    """Yield what lies below the record of `parent`, whose folder is `folder`."""
    for child in children_of(place.record):
        collection = f"{folder}{child.folder}/"
        yield from _collection(root, collection, parent, child)


def _collection(root: str, collection: str, parent: str, place: Place) -> Iterator[Found]:
    file_name, kind = place.file_name, place.record.type_name()
    has_children = bool(children_of(place.record))
    try:
        descriptor = os.open(root + "/" + collection, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        for name in _folders(descriptor):
            try:
                status = os.stat(f"{name}/{file_name}", dir_fd=descriptor, follow_symlinks=False)
            except OSError:
                continue
            if not S_ISREG(status.st_mode):
                continue
            folder = f"{collection}{name}/"
            path = folder + file_name
            yield Found(path, parent, kind, status.st_mtime_ns, status.st_size)
            if has_children and _has_folders(name, descriptor):
                yield from _below(root, folder, path, place)
    finally:
        os.close(descriptor)


def _folders(descriptor: int) -> Iterator[str]:
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield entry.name


def _has_folders(name: str, descriptor: int) -> bool:
    # File systems that do not count links say 1 for every folder.
    return os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_nlink != _ONLY_ITSELF
