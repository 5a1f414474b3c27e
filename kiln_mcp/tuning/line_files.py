"""Files of lines on their way to the person's disk: written aside once, copied, never in memory."""

import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path
from typing import IO

from storage.atomic_write import disk_errors, new_file


class LineFile:
    """A file in the system's temporary folder that goes when nothing refers to it any more.

    Attributes:
        path: Where it lies; only this person may read it.
    """

    def __init__(self) -> None:
        """Make an empty one.

        Raises:
            WriteError: The disk refused.
        """
        with disk_errors(tempfile.gettempdir()):
            number, name = tempfile.mkstemp(prefix="kiln-lines-", suffix=".jsonl")
        os.close(number)
        self.path = Path(name)
        weakref.finalize(self, _remove, name)

    def open(self) -> IO[bytes]:
        """Open it to write its lines."""
        return self.path.open("wb")


def copy_file(source: Path, target: Path) -> None:
    """Copy a file so that it appears whole or not at all, in pieces.

    Raises:
        WriteError: The disk refused; nothing was changed.
    """
    with new_file(target) as out, source.open("rb") as file:
        shutil.copyfileobj(file, out)


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as content:
        return file_digest(content, sha256).hexdigest()


def _remove(name: str) -> None:
    with suppress(OSError):
        os.unlink(name)  # noqa: PTH108 - Path may be gone when the program ends
