"""Whose turn it is to do the jobs of a home: one process at a time, for as long as it lives."""

from pathlib import Path

from filelock import FileLock, Timeout


class Turn:
    """The right to do the jobs of a home.

    A lock on a file beside the database, which goes with its process: who opens a home beside
    the daemon, such as a command, hands jobs in and never does one a second time.
    """

    def __init__(self, database: Path) -> None:
        """Name the database's file."""
        # Taken in one thread and given back in another.
        self._lock = FileLock(database.with_suffix(".lock"), thread_local=False)

    def take(self) -> bool:
        """Take the turn, where no other process has it."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def give_back(self) -> None:
        """Let another process have it."""
        self._lock.release(force=True)
