"""Read files safely: no link, no device, nothing that never ends, and no more than a limit."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import IO, Final

from storage.descriptors import read_to_end

LARGEST_FILE: Final = 256 << 20
"""No record, journal or file beside one is larger; what is, was not made by a program of ours."""
LINK: Final = "it is a link, and none is followed"
NO_FILE: Final = "it is no ordinary file"
_ORDINARY: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_PLAIN: Final = _ORDINARY | getattr(os, "O_NOFOLLOW", 0)


def read_plain(path: Path | str, size_limit: int = LARGEST_FILE) -> bytes:
    """Read an ordinary file: no link, no device, and nothing that never ends.

    Args:
        path: The file; what leads to it is the caller's to check.
        size_limit: The most bytes that it may have.

    Raises:
        OSError: It cannot be read, is no ordinary file, or is larger; `strerror` says which.
    """
    _check_plain(path, os.lstat(path), size_limit)
    descriptor = os.open(path, _PLAIN)
    try:
        status = os.fstat(descriptor)
        _check_plain(path, status, size_limit)
        content = read_to_end(descriptor, status.st_size, size_limit)
    finally:
        os.close(descriptor)
    if len(content) > size_limit:
        raise OSError(errno.EFBIG, _too_large(size_limit), str(path))
    return content


@contextmanager
def open_ordinary(path: Path, size_limit: int) -> Generator[IO[bytes]]:
    """Open a file that a person names: a link is followed; a pipe or device is not opened.

    Args:
        path: The file.
        size_limit: The most bytes that it may have.

    Raises:
        OSError: It cannot be read, is no ordinary file, or is larger; `strerror` says which.
    """
    _check_plain(path, path.stat(), size_limit)
    descriptor = os.open(path, _ORDINARY)
    with os.fdopen(descriptor, "rb") as file:
        _check_plain(path, os.fstat(descriptor), size_limit)
        yield file


def _check_plain(path: Path | str, status: os.stat_result, size_limit: int) -> None:
    if S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, LINK, str(path))
    if not S_ISREG(status.st_mode):
        number = errno.EISDIR if S_ISDIR(status.st_mode) else errno.EINVAL
        raise OSError(number, NO_FILE, str(path))
    if status.st_size > size_limit:
        raise OSError(errno.EFBIG, _too_large(size_limit, status.st_size), str(path))


def _too_large(size_limit: int, size: int | None = None) -> str:
    has = f"more than {size_limit:,}" if size is None else f"{size:,}"
    return f"it has {has} bytes, and no more than {size_limit:,} are read"
