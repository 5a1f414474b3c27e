"""Git attributes of a project: line ends that no system changes, and side files that git merges."""

import os
from pathlib import Path
from typing import Final

from storage.atomic_write import write_atomically

FILE: Final = ".gitattributes"
RULES: Final = Path(__file__).with_name("gitattributes.txt")
"""The rules. Every command of git reads them too, for folders that have none."""


def write_attributes(folder: Path) -> None:
    """Write the rules into a project's folder, unless it has rules of its own.

    Raises:
        StorageError: The file cannot be written.
    """
    file = folder / FILE
    if not os.path.lexists(file):
        write_atomically(file, RULES.read_bytes())
