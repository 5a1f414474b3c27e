"""Scratch folders: where code and commands of users may write, and how much."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_LOOKED_EACH_S: Final = 0.1
_MOST_ENTRIES: Final = 10_000
"""Files and folders of a scratch folder; more count as too large."""
_REMOVAL_S: Final = 60.0


@contextmanager
def scratch_folder() -> Generator[Path]:
    """Make an empty folder for this user alone; it is removed at the end, whatever it holds."""
    folder = tempfile.TemporaryDirectory(prefix="kiln-mcp-", ignore_cleanup_errors=True)
    try:
        yield Path(folder.name)
    finally:
        with suppress(RecursionError, OSError):  # folders in folders, a thousand deep
            folder.cleanup()
        if sys.platform != "win32" and os.path.lexists(folder.name):
            with suppress(OSError, subprocess.SubprocessError):
                command = ["rm", "-rf", "--", folder.name]
                subprocess.run(command, check=False, timeout=_REMOVAL_S, capture_output=True)


def is_larger(folder: Path, most_bytes: int) -> bool:
    """Return whether a folder holds more than so many bytes, or too many files to count."""
    total, entries = 0, 0
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as rows:
                for row in rows:
                    entries += 1
                    if entries > _MOST_ENTRIES:
                        return True
                    if row.is_dir(follow_symlinks=False):
                        waiting.append(row.path)
                    else:
                        total += _bytes_on_disk(row)
        except OSError:  # it is gone already, or too deep
            continue
        if total > most_bytes:
            return True
    return total > most_bytes


def _bytes_on_disk(row: os.DirEntry[str]) -> int:
    """Return the bytes of a file on the disk: one with holes takes less than it says."""
    with suppress(OSError):
        status = row.stat(follow_symlinks=False)
        return status.st_blocks * 512 if hasattr(status, "st_blocks") else status.st_size
    return 0


class FolderWatch:
    """Calls a function once a folder holds too much; use it as a context manager.

    Args:
        folder: The folder.
        most_bytes: What it may hold.
        end: Called from a thread of its own when it holds more.
    """

    def __init__(self, folder: Path, most_bytes: int, end: Callable[[], None]) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._end = end
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="folder watch")
        self.is_too_large = False

    def __enter__(self) -> "FolderWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_LOOKED_EACH_S):
            if is_larger(self._folder, self._most_bytes):
                self.is_too_large = True
                self._end()
                return
