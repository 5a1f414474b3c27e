"""The owners of sockets and files: this person, or somebody else."""

import os
import socket
import stat
import struct
import sys
from pathlib import Path
from typing import Final

ROOT: Final = 0
_SOL_LOCAL: Final = 0
_LOCAL_PEERCRED: Final = 1
_CREDENTIALS_SIZE: Final = 76
"""Bytes of `struct xucred` on macOS and FreeBSD; its second number is the user."""


def peer_user(connection: socket.socket) -> int | None:
    """Return the user at the other end of a Unix socket; None if the system does not tell."""
    if sys.platform == "linux":
        size = struct.calcsize("3i")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return struct.unpack("3i", credentials)[1]
    if sys.platform == "darwin" or sys.platform.startswith("freebsd"):
        credentials = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _CREDENTIALS_SIZE)
        return struct.unpack_from("=2I", credentials)[1]
    return None


def own_user() -> int | None:
    """Return this process's user; None on Windows, which has no such number."""
    return None if sys.platform == "win32" else os.geteuid()


def is_own_peer(connection: socket.socket) -> bool:
    """Return whether this person is at the other end of a Unix socket."""
    user = peer_user(connection)
    return user is not None and user == own_user()


def fault_of_file(file: Path) -> str | None:
    """Return why a file may be written by another person; None if only this person writes it.

    On Windows only a link is a fault, because rights are not in the file's mode.

    Raises:
        OSError: There is no such file.
    """
    status = file.lstat()
    if not stat.S_ISREG(status.st_mode):
        return "is a link, or no file"
    if sys.platform == "win32":
        return None
    if status.st_uid != own_user():
        return f"belongs to another user ({status.st_uid})"
    if stat.S_IMODE(status.st_mode) & 0o022:
        return "can be written by others"
    return None
