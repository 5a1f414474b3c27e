"""One writer at a time: the lock of a project, which the death of its holder frees."""

import errno
import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from storage.atomic_write import disk_errors
from storage.errors import ProjectBusy

LONGEST_WAIT_S: Final = 30.0
_PAUSE_S: Final = 0.01
_POLL_S: Final = 0.005
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EBADF, errno.EINVAL, errno.EOPNOTSUPP})


class _ThreadLock:
    """A lock between the threads of this process, which wait for it without polling."""

    def __init__(self) -> None:
        self.lock = threading.RLock()


_thread_locks: WeakValueDictionary[str, _ThreadLock] = WeakValueDictionary()
_thread_locks_lock = threading.Lock()


def _thread_lock(file: Path) -> _ThreadLock:
    """Return the lock that all threads of this process share for a lock file."""
    with _thread_locks_lock:
        return _thread_locks.setdefault(str(file), _ThreadLock())


class ProjectLock:
    """The lock of one project.

    It has two parts: a file in the home of this person, which works on every system, and the
    project's folder itself, which also keeps out other people of this machine, where the system
    locks folders.

    Args:
        project: The project's folder.
        file: The file in this person's home.
        longest_wait_s: How long to wait for others.
    """

    def __init__(self, project: Path, file: Path, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        self._project = project
        self._longest_wait_s = longest_wait_s
        self._file = FileLock(file, mode=0o600)
        self._threads = _thread_lock(file)

    @contextmanager
    def hold(self, longest_wait_s: float | None = None) -> Generator[None]:
        """Keep all other writers out; may be nested within a thread.

        Args:
            longest_wait_s: How long to wait for others, if not as always.

        Raises:
            ProjectBusy: Another process has been writing for too long.
        """
        wait_s = self._longest_wait_s if longest_wait_s is None else longest_wait_s
        until = time.monotonic() + wait_s
        if not self._threads.lock.acquire(timeout=wait_s):
            raise ProjectBusy(self._project, wait_s)
        try:
            self._lock_file(until, wait_s)
            try:
                folder = self._lock_folder(until) if self._file.lock_counter == 1 else None
                try:
                    yield
                finally:
                    if folder is not None:
                        os.close(folder)
            finally:
                self._file.release()
        finally:
            self._threads.lock.release()

    def _lock_file(self, until: float, wait_s: float) -> None:
        try:
            remaining_s = max(0.0, until - time.monotonic())
            self._file.acquire(timeout=remaining_s, poll_interval=_POLL_S)
        except Timeout as error:
            raise ProjectBusy(self._project, wait_s) from error
        except OSError as error:
            with disk_errors(Path(self._file.lock_file)):
                raise error from None

    def _lock_folder(self, until: float) -> int | None:
        """Return the locked folder, to be closed; None if there is nothing to lock."""
        if sys.platform == "win32":
            return None
        try:
            folder = os.open(self._project, os.O_RDONLY)
        except OSError:
            return None  # what is written next says why
        while not _try_lock(folder):
            if time.monotonic() > until:
                os.close(folder)
                raise ProjectBusy(self._project, self._longest_wait_s)
            time.sleep(_PAUSE_S)
        return folder


def _try_lock(folder: int) -> bool:
    """Lock an open folder; False where another process holds it."""
    import fcntl

    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
