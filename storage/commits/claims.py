"""Claims on work in a project, so that two processes never pay for the same.

A claim is a lock on one byte of a file in the project, whatever home a process has. The byte
follows from what is claimed. The system frees a claim when its file is closed, so the claims of a
killed process end with it, and no clock is asked.

Where the system cannot lock single bytes for one open file, as on macOS, the whole file is locked:
a claim of anything claims all.
"""

import errno
import os
import struct
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from stat import S_IMODE
from typing import Final

from storage.atomic_write import disk_errors
from storage.border import TRASH, check_links
from storage.commits.trash import keep_out_of_git

FILE: Final = f"{TRASH}/claims"
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EINVAL, errno.EOPNOTSUPP})
_HELD_ELSEWHERE: Final = frozenset({errno.EACCES, errno.EAGAIN})
_FLOCK: Final = "@hhqqi4x"
"""`struct flock`: type, whence, start, length, process."""


@contextmanager
def hold_claims(project: Path, keys: Iterable[str]) -> Generator[frozenset[str]]:
    """Claim what nobody else has claimed, without waiting, until the block ends.

    Args:
        project: The project's folder.
        keys: What is to be claimed; any text. The same text means the same work to everybody.

    Yields:
        Those that this caller alone has now. Another call of the same process is somebody else.

    Raises:
        UnsafePath: The file is a link, or lies in a folder that is one.
        WriteError: The project cannot be written.
    """
    file = _open(project)
    try:
        yield frozenset(key for key in dict.fromkeys(keys) if _try_lock(file, _place_of(key)))
    finally:
        os.close(file)


def _place_of(key: str) -> int:
    """Return the byte that stands for a key: one of 2^62, so that two keys hardly share one."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) >> 2


def _open(project: Path) -> int:
    path = project / FILE
    check_links(project, [FILE])
    keep_out_of_git(project)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    with disk_errors(path):
        try:
            return os.open(path, flags & ~os.O_CREAT)
        except FileNotFoundError:
            file = os.open(path, flags, 0o600)
        # All who may write to the project may claim.
        path.chmod(S_IMODE(project.stat().st_mode) & 0o666)
        return file


def _try_lock(file: int, place: int) -> bool:
    """Lock a byte of an open file; False if somebody else holds it."""
    try:
        _lock(file, place)
    except OSError as error:
        if error.errno in _HELD_ELSEWHERE:
            return False
        if error.errno not in _NO_LOCKS:
            raise
    return True


if sys.platform == "linux":
    import fcntl

    def _lock(file: int, place: int) -> None:
        wish = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, wish)

elif sys.platform == "win32":
    import msvcrt

    def _lock(file: int, place: int) -> None:
        os.lseek(file, place % 2**30, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int, place: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
