"""The per-user home: made for its person alone, and its files too.

Prompts, answers, keys of daemons and approvals lie there. Standard library alone, since the bridge
uses it.
"""

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_KEY_BYTES: Final = 32


def prepare_home(home: Path) -> None:
    """Make the home if there is none, and take the rights of other people away from it.

    What belongs to another person, or is a folder for all such as /tmp, keeps its rights.

    Raises:
        OSError: It cannot be made.
    """
    home.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    if sys.platform == "win32":
        return
    with suppress(OSError):
        _narrow(home, _PRIVATE_FOLDER)
        for file in home.iterdir():
            with suppress(OSError):
                _narrow(file, _PRIVATE_FILE)


def _narrow(path: Path, rights: int) -> None:
    """Take away the rights of group and others on an own folder, or on an own file in it."""
    status = path.stat() if rights == _PRIVATE_FOLDER else path.lstat()
    is_kind = stat.S_ISDIR if rights == _PRIVATE_FOLDER else stat.S_ISREG
    shared = status.st_mode & stat.S_ISVTX
    if is_kind(status.st_mode) and not shared and status.st_uid == os.geteuid():
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077:
            path.chmod(mode & ~0o077)


def write_private(path: Path, content: bytes) -> None:
    """Write a file of the home, whole or not at all, that its person alone may read.

    Raises:
        OSError: The disk refused; the old content is still there.
    """
    fresh = path.with_name(f".{path.name}.{uuid4().hex[:8]}.new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def read_key(path: Path) -> bytes | None:
    """Return the secret of 32 bytes in a file of the home; None if it holds none.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    return key if len(key) == _KEY_BYTES else None


def read_or_new_key(path: Path) -> bytes:
    """Return the secret of 32 bytes in a file of the home, which gets one if it holds none.

    Raises:
        OSError: It can be neither read nor written.
    """
    if (key := read_key(path)) is not None:
        return key
    write_private(path, os.urandom(_KEY_BYTES))
    return read_key(path) or b""
