"""One wait for the disk for many files: the whole file system is flushed at once.

A wait for each of thousands of files takes most of a large change. `syncfs` of Linux waits once for
all that was written to a file system, by other programs too. It is used only where it keeps what
`fsync` promises: on local file systems that are known here, and from Linux 5.8 on, which reports
what could not be written.
"""

import ctypes
import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

_LOCAL: Final = frozenset({0xEF53, 0x58465342, 0x9123683E, 0x01021994})
"""The numbers that Linux gives ext2 to ext4, XFS, Btrfs and tmpfs."""
_REPORTS_ERRORS: Final = (5, 8)
_STATUS_BYTES: Final = 256
"""More than a `statfs` has on any system; the kind of the file system comes first."""


@contextmanager
def flush_when_done(folder: Path) -> Generator[None]:
    """Wait, when the block ends without an error, until the disk has all that was written in it.

    Args:
        folder: A folder of the file system, for which `can_flush` is true.

    Raises:
        OSError: The disk refused, or has lost something meanwhile.
    """
    # Opened first: errors since then are reported.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield
        library = _library()
        if library is None or library.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def can_flush(folder: Path) -> bool:
    """Return whether the file system of a folder can be flushed at once."""
    library = _library()
    if library is None:
        return False
    status = ctypes.create_string_buffer(_STATUS_BYTES)
    if library.statfs(os.fsencode(folder), status) != 0:
        return False
    kind = ctypes.c_long.from_buffer(status).value & 0xFFFFFFFF
    return kind in _LOCAL


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    """Return the C library where it has what is needed."""
    if sys.platform != "linux" or _kernel() < _REPORTS_ERRORS:
        return None
    library = ctypes.CDLL(None, use_errno=True)
    return library if hasattr(library, "syncfs") and hasattr(library, "statfs") else None


def _kernel() -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])
