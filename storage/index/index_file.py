"""The file of an index: open it with its schema, or remove it."""

import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

from storage.index import sql
from storage.sqlite_files import open_shared


def forget_index(file: Path) -> None:
    """Remove the files of an index as far as possible, and anything else with their names."""
    for leftover in file.parent.glob(file.name + "*"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            with suppress(OSError):
                leftover.unlink(missing_ok=True)


def open_index(file: Path) -> sqlite3.Connection:
    """Open the index's file.

    Raises:
        sqlite3.DatabaseError: It cannot be used.
    """
    try:
        connection = open_shared(file)
    except OSError as error:
        raise sqlite3.DatabaseError(str(error)) from error
    try:
        for pragma in sql.PRAGMAS:
            connection.execute(pragma)
        _check_version(connection)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute(sql.GET_VERSION).fetchone()
    if version == 0:
        connection.executescript(sql.SCHEMA)
    elif version != sql.VERSION:
        raise sqlite3.DatabaseError(f"an index of version {version}")
