"""Which files of a folder belong to a project that travels."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from storage.format.layout import PROJECT_FILE

_DEEPEST = 4
_EXCLUDED_NAMES = frozenset({".git", ".trash", "__macosx", ".ds_store", "thumbs.db", "desktop.ini"})
_TRANSIENT = re.compile(r"\._.*|\..+\.[0-9a-f]{8}\.new")


def travels(path: PurePosixPath) -> bool:
    """Whether a file goes along when its project is copied, packed or unpacked.

    Git's own folder never does: settings in it could make git run a stranger's programs. Nor do
    the trash, half-written files and what operating systems leave behind.
    """
    parts = [part.casefold() for part in path.parts]
    return not any(part in _EXCLUDED_NAMES for part in parts) and not _TRANSIENT.fullmatch(
        path.name
    )


def projects_in(folder: Path) -> list[Path]:
    """Return the folders of the projects in a folder, itself or a few levels below."""
    return sorted(_projects_below(folder, _DEEPEST))


def _projects_below(folder: Path, levels: int) -> Iterator[Path]:
    if (folder / PROJECT_FILE).is_file():
        yield folder
        return
    if levels == 0:
        return
    for inner in folder.iterdir():
        if inner.is_dir() and not inner.is_symlink() and travels(PurePosixPath(inner.name)):
            yield from _projects_below(inner, levels - 1)
