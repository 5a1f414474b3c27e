"""SQLite files that several processes read and write at once."""

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

BUSY_S: Final = 10.0
"""How long a statement waits for another process."""
_PAUSE_S: Final = 0.01


def open_shared(path: Path | None) -> sqlite3.Connection:
    """Open a file for any thread, one at a time; each statement is a transaction of its own.

    Args:
        path: The file, made if there is none, for its owner alone; None for one in memory.

    Raises:
        sqlite3.Error: It cannot be used.
        OSError: Its folder cannot be made.
    """
    if path is not None:
        make_private(path)
    connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    try:
        share(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def share(connection: sqlite3.Connection) -> None:
    """Let other processes read while this one writes, and writers wait for each other.

    A process that is killed loses nothing that it has committed; the last commits may be lost
    when the machine loses power.

    Raises:
        sqlite3.Error: The file cannot be used.
    """
    connection.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000:.0f}")
    connection.execute("PRAGMA synchronous = NORMAL")
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # Of two that open a new file at once, SQLite refuses one without letting it wait.
            if not is_busy(error) or time.monotonic() > until:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process had the file for too long."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def make_private_folder(folder: Path) -> None:
    """Make a folder that its owner alone may enter, if there is none, and those above it.

    Raises:
        OSError: It cannot be made.
    """
    if not folder.is_dir():
        make_private_folder(folder.parent)  # pathlib would give it the rights of the umask
        folder.mkdir(mode=0o700, exist_ok=True)


def make_private(path: Path) -> None:
    """Make a file that its owner alone may read, if there is none, and the folders above it.

    SQLite gives a database's rights to the files beside it. What keeps the file from being made,
    it says itself when it opens it.

    Raises:
        OSError: A folder cannot be made.
    """
    make_private_folder(path.parent)
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
