"""Put files and folders of a project in their places, down to the disk, and through no link."""

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from storage.atomic_write import disk_errors, flush_folders, remove_files, write_all_aside
from storage.border import PENDING
from storage.format.layout import folders_above
from storage.open_folders import OpenFolders


def move_into_place(project: Path, source: str, target: str) -> None:
    """Move a file or folder within the project.

    Raises:
        UnsafePath: A link leads to one of the two.
        WriteError: The disk refused; nothing was changed.
    """
    with OpenFolders(project) as folders, disk_errors(project / target):
        folders.move(source, target)
        for path in (target, source):
            folders.flush(path.rpartition("/")[0])


def move_all_into_place(project: Path, moves: Iterable[tuple[str, str]]) -> None:
    """Move folders within the project, one after the other; wait for the disk once for many.

    Args:
        project: The project's folder.
        moves: The source and the target of each; read one at a time, when those before are made.

    Raises:
        UnsafePath: A link leads to one of them.
        WriteError: The disk refused; moves before it are made.
    """
    waiting: set[str] = set()
    above: set[str] = set()
    with ExitStack() as stack:
        folders = stack.enter_context(OpenFolders(project))
        for source, target in moves:
            if source in above:  # it takes away a folder that is open, or waits to be flushed
                flush_folders(waiting)
                waiting, above = set(), set()
                stack.close()
                folders = stack.enter_context(OpenFolders(project))
            folders.move(source, target)
            waiting |= {f"{project}/{path}".rpartition("/")[0] for path in (source, target)}
            above.update(folder for path in (source, target) for folder in folders_above(path))
    flush_folders(waiting)


def write_into_place(project: Path, path: str, content: bytes) -> None:
    """Write a file of the project, so that at every moment the old or the new content is there.

    The folder for what is under way must be there.

    Raises:
        UnsafePath: A link leads to it.
        WriteError: The disk refused; nothing was changed.
    """
    with OpenFolders(project) as folders:
        files = [(project / path, content)]
        (fresh,) = write_all_aside(files, project / PENDING, parent_maker(project, folders))
    try:
        move_into_place(project, f"{PENDING}/{Path(fresh.path).name}", path)
    except BaseException:
        remove_files([fresh.path])
        raise


def remove_file(project: Path, path: str) -> None:
    """Remove a file of the project.

    Raises:
        UnsafePath: A link leads to it.
        OSError: It is not there, or the disk refused.
    """
    with OpenFolders(project) as folders:
        folders.remove(path)


def parent_maker(project: Path, folders: OpenFolders) -> Callable[[str], None]:
    """Return what makes a folder by its absolute path within the project."""
    start = len(str(project)) + 1
    return lambda folder: folders.make(folder[start:].replace(os.sep, "/"))
