"""Tell a folder from another one that was later put at its path.

An inode number alone is not enough: file systems give the number of a removed folder to the next
one. With the time of the folder's creation, in nanoseconds, the pair is not met again.
"""

import ctypes
import os
import struct
import sys
from pathlib import Path
from typing import Final

_AT_FDCWD: Final = -100
_STATX_BTIME: Final = 0x800
_STATX_SIZE: Final = 256
_CREATION: Final = struct.Struct("=qI")
"""Seconds and nanoseconds, at offset 80 of `struct statx` (statx(2))."""
_CREATION_OFFSET: Final = 80


def folder_identity(folder: Path) -> str:
    """Return a text that no other folder at this path will have.

    Where the system does not keep the time of creation, the device's number stands for it.

    Raises:
        OSError: The folder is not there.
    """
    status = folder.stat()
    creation = _creation_ns(folder, status)
    return f"{status.st_ino}-{creation}" if creation else f"{status.st_ino}-on-{status.st_dev}"


def _creation_ns(folder: Path, status: os.stat_result) -> int:
    """Return when a folder was created, in nanoseconds; 0 if the system does not say."""
    if sys.platform == "win32":
        return status.st_ctime_ns
    if sys.platform == "linux":
        return _statx_creation_ns(folder)
    return int(getattr(status, "st_birthtime", 0) * 1e9)


def _statx_creation_ns(folder: Path) -> int:
    """Ask Linux, for which Python has no function."""
    try:
        statx = ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError):
        return 0
    answer = ctypes.create_string_buffer(_STATX_SIZE)
    path = os.fsencode(folder)
    if statx(_AT_FDCWD, ctypes.c_char_p(path), 0, ctypes.c_uint(_STATX_BTIME), answer) != 0:
        return 0
    (mask,) = struct.unpack_from("=I", answer.raw, 0)
    if not mask & _STATX_BTIME:
        return 0
    seconds, nanoseconds = _CREATION.unpack_from(answer.raw, _CREATION_OFFSET)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
