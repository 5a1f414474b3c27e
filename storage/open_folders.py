"""The folders of a project, each opened from the one above it, so that no link is ever followed.

A check of paths is true at one moment: another program could put a link into its place before the
path is used. A folder that is open stays the folder that was checked.
"""

import errno
import os
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from stat import S_ISLNK
from types import TracebackType
from typing import Final, Self

from storage.atomic_write import disk_errors
from storage.errors import UnsafePath

_FOLDER: Final = (
    os.O_RDONLY
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_CAN_OPEN: Final = hasattr(os, "O_NOFOLLOW") and {os.open, os.rename, os.mkdir}.issubset(
    os.supports_dir_fd
)
"""Whether the system opens folders; Windows does not, and makes no links without a right to it."""
_MOST_OPEN: Final = 64


class OpenFolders:
    """The open folders of one project; a context manager closes them.

    Args:
        project: The project's folder, which may itself be reached by a link.
    """

    def __init__(self, project: Path) -> None:
        self._project = project
        self._open: OrderedDict[str, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def make(self, folder: str) -> None:
        """Make a folder within the project, with those above it, unless it is there.

        Raises:
            UnsafePath: A link leads to it.
            OSError: The disk refused.
        """
        if not _CAN_OPEN:
            (self._project / folder).mkdir(parents=True, exist_ok=True)
        elif folder and folder not in self._open:
            above, _, name = folder.rpartition("/")
            try:
                os.mkdir(name, dir_fd=self._at(above, make=True))
            except FileExistsError:
                self._at(folder, make=True)

    def move(self, source: str, target: str) -> None:
        """Move a file or folder within the project; a file at the target is replaced.

        The names are not flushed yet. A link that is moved or replaced is not followed.

        Raises:
            UnsafePath: A link leads to one of the two.
            WriteError: The disk refused.
        """
        (source_folder, _, source_name), (target_folder, _, target_name) = (
            path.rpartition("/") for path in (source, target)
        )
        with disk_errors(f"{self._project}/{target}"):
            if not _CAN_OPEN:
                self.make(target_folder)
                (self._project / source).replace(self._project / target)
                return
            target_at = self._at(target_folder, make=True)
            source_at = self._at(source_folder)
            os.rename(source_name, target_name, src_dir_fd=source_at, dst_dir_fd=target_at)

    def remove(self, path: str) -> None:
        """Remove a file of the project.

        Raises:
            UnsafePath: A link leads to it.
            OSError: It is not there, or the disk refused.
        """
        if not _CAN_OPEN:
            (self._project / path).unlink()
            return
        folder, _, name = path.rpartition("/")
        os.unlink(name, dir_fd=self._at(folder))

    def flush(self, folder: str) -> None:
        """Make the names in a folder survive a power cut, where the system can."""
        if _CAN_OPEN:
            os.fsync(self._at(folder))

    def _at(self, folder: str, *, make: bool = False) -> int:
        """Return an open folder; it stays open while the next few are opened."""
        descriptor = self._open.get(folder)
        if descriptor is not None:
            self._open.move_to_end(folder)
            return descriptor
        if not folder:
            descriptor = os.open(self._project, _FOLDER & ~getattr(os, "O_NOFOLLOW", 0))
        else:
            above, _, name = folder.rpartition("/")
            descriptor = _open_in(self._at(above, make=make), name, folder, make=make)
        self._open[folder] = descriptor
        if len(self._open) > _MOST_OPEN:
            os.close(self._open.popitem(last=False)[1])
        return descriptor


def _open_in(above: int, name: str, folder: str, *, make: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR} and _is_link(above, name):
            raise UnsafePath(folder, "is a link") from error
        raise
    with suppress(FileExistsError):  # another writer made it
        os.mkdir(name, dir_fd=above)
    return _open_in(above, name, folder, make=False)


def _is_link(above: int, name: str) -> bool:
    return S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
