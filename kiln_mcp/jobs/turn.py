"""Whose turn it is to do the jobs of a home: one process at a time, for as long as it lives."""

from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from kiln_mcp.jobs.database import is_sqlite

_SQLITE: Final = "sqlite:///"


class Turn:
    """The right to do the jobs of a home.

    A lock on a file beside the database, which goes with its process: who opens a home beside
    the daemon, such as a command, hands jobs in and never does one a second time.
    """

    def __init__(self, database_url: str) -> None:
        """Name the file; where workers share a database, each has its turn at once."""
        file = Path(database_url.removeprefix(_SQLITE)).with_suffix(".lock")
        # Taken in one thread and given back in another.
        self._lock = FileLock(file, thread_local=False) if is_sqlite(database_url) else None

    def take(self) -> bool:
        """Take the turn, where no other process has it."""
        if self._lock is None:
            return True
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def give_back(self) -> None:
        """Let another process have it."""
        if self._lock is not None:
            self._lock.release(force=True)
