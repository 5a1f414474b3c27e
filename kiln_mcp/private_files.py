"""Files that hold what people asked and models answered: for their owner alone."""

import os
from contextlib import suppress
from pathlib import Path


def make_private(path: Path) -> None:
    """Make a file that its owner alone may read, where there is none, and the folders above it.

    SQLite gives a database's rights to the files beside it. What keeps the file from being made,
    it says itself when it opens it.

    Raises:
        OSError: A folder cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
