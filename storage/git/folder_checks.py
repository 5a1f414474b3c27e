"""Checks of a folder before git runs there: pipes and devices, and repositories elsewhere."""

from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final

from storage.files import read_plain

_LONGEST_POINTER: Final = 4096
_READ_BY_GIT: Final = (
    *(".gitattributes", ".gitignore", ".gitmodules", ".git", ".git/config", ".git/config.worktree"),
    *(".git/HEAD", ".git/index", ".git/packed-refs", ".git/commondir", ".git/shallow"),
    *(".git/info/exclude", ".git/info/attributes", ".git/info/grafts"),
    *(".git/objects/info/alternates", ".git/MERGE_HEAD"),
)


def special_file(folder: Path) -> Path | None:
    """Return a pipe or device in the place of a file that git reads; None if there is none."""
    for name in _READ_BY_GIT:
        file = folder / name
        with suppress(OSError):
            mode = file.stat().st_mode
            if not (S_ISREG(mode) or S_ISDIR(mode)):
                return file
    return None


def is_foreign_repository(place: Path) -> bool:
    """Return whether a folder's `.git` is a link, or names a repository of another folder."""
    if place.is_symlink():
        return True
    if not place.is_file():
        return False
    with suppress(OSError, UnicodeDecodeError):
        target = read_plain(place, _LONGEST_POINTER).decode().removeprefix("gitdir:").strip()
        back = read_plain(place.parent / target / "gitdir", _LONGEST_POINTER).decode().strip()
        return (place.parent / target / back).resolve() != place.resolve()
    return True
