"""The lock by which one process of a home runs its jobs, for as long as it lives."""

from pathlib import Path

from filelock import FileLock, Timeout


class RunnerLock:
    """The right to run the jobs of a home.

    A lock on a file beside the database, which the system releases with its process. A process
    beside the daemon, such as a command, hands jobs in and never runs one a second time.
    """

    def __init__(self, database: Path) -> None:
        """Set up for the file of a database."""
        # Acquired in one thread and released in another.
        self._lock = FileLock(database.with_suffix(".lock"), thread_local=False)

    def acquire(self) -> bool:
        """Acquire the lock; return False if another process holds it."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Release the lock."""
        self._lock.release(force=True)
