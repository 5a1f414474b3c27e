"""The Unix socket of a home, which only its person can reach."""

import hashlib
import os
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from kiln_mcp.doors.border.peers import own_user, peer_user

SOCKET_FILE: Final = "daemon.sock"
LONGEST_PATH: Final = 103
"""Bytes of a socket's path on macOS, the system that takes the fewest; Linux takes 107."""
BACKLOG: Final = 512


def listen_at_home(home: Path) -> tuple[socket.socket, Path] | None:
    """Listen on a Unix socket that only this person can reach, and return it with its path.

    The socket is in the home, or in the person's runtime folder if the home's path is too long or
    its disk holds no sockets. The caller holds the daemon's lock, so an existing socket is stale.

    Returns:
        None if the system has no such sockets, does not identify peers, or refuses one.
    """
    if sys.platform == "win32" or not hasattr(socket, "AF_UNIX"):
        return None
    for path in _places(home):
        with suppress(OSError):
            listener = _listen(path)
            if _identifies_peers(path, listener):
                return listener, path
            remove_socket(path)
            listener.close()
            return None
    return None


def remove_socket(path: Path) -> None:
    """Remove our own socket; leave anything else.

    Raises:
        FileExistsError: Something else is at the path.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != own_user():
        raise FileExistsError(f"{path} is not our own socket")
    path.unlink()


def _places(home: Path) -> Iterator[Path]:
    """Yield the possible places of the socket, the home first; check or create their folders."""
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16] + ".sock"
    if is_private(home):
        yield home / SOCKET_FILE
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and is_private(Path(runtime)):
        yield Path(runtime, f"kiln-mcp-{name}")
    shared = Path(tempfile.gettempdir(), f"kiln-mcp-{own_user()}")
    with suppress(OSError):
        shared.mkdir(mode=0o700, exist_ok=True)
        if is_private(shared):
            yield shared / name


def is_private(folder: Path) -> bool:
    """Return whether a path is a real folder that only this person can enter or write."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == own_user()
    return is_own and not stat.S_IMODE(status.st_mode) & 0o077


def _listen(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise OSError("the path is too long for a socket")
    remove_socket(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _identifies_peers(path: Path, listener: socket.socket) -> bool:
    """Return whether the system identifies the peer of a connection; some containers do not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        probe.connect(os.fspath(path))
        connection, _ = listener.accept()
        with connection:
            return peer_user(connection) == peer_user(probe) == own_user()
