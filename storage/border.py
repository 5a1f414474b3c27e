"""What a project's folder may make us do to files.

A folder may come from anybody: a clone, an archive, a shared disk. So every path that is written,
moved or removed in it is checked here, no matter who named it: a record, a note in the trash, a
journal, or what others share. No path leaves the project, reaches git's own folder, or leads
through a link. The checks of links are made under the project's lock, right before the files are
touched.
"""

import os
import unicodedata
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from stat import S_ISLNK
from typing import Final

from storage.errors import UnsafePath
from storage.format.layout import PROJECT_FILE, children_of
from storage.records import Project

TRASH: Final = ".trash"
PENDING: Final = f"{TRASH}/pending"
"""What is being written to the project, or was by processes that died."""
FOREIGN: Final = f"{TRASH}/foreign"
"""Journals that no process of this person on this machine began."""
QUESTIONS: Final = "questions"
_TOP_FOLDERS: Final = frozenset(place.folder for place in children_of(Project))
_NO_NAMES: Final = frozenset({"", ".", ".."})
_OF_GIT: Final = ".git"
_GIT_NAMES: Final = frozenset({".git", "git~1"})
_OWN: Final = frozenset({PENDING, FOREIGN})


class Reach(StrEnum):
    """Which files of a project a change may touch.

    RECORDS: records, what lies in their folders, questions, and the trash.
    SHARED: also the other files that people share with git, such as a README.
    """

    RECORDS = "records"
    SHARED = "shared"


def check_path(path: str, reach: Reach = Reach.RECORDS) -> None:
    """Refuse the path of a file or folder that no change of a project may touch.

    Args:
        path: The path within the project, with forward slashes.
        reach: Which files the change may touch.

    Raises:
        UnsafePath: It leads out, into git's folder, or where no record lies.
    """
    parts = path.split("/")
    bare_names = [*map(_usable_bare, parts)]
    if None in bare_names:
        raise UnsafePath(path)
    if _OF_GIT in bare_names:
        raise UnsafePath(path, "belongs to git")
    if TRASH in bare_names[1:] or (bare_names[0] == TRASH != parts[0]):
        raise UnsafePath(path, "belongs to the trash")
    if parts[0] == TRASH:
        if len(parts) == 1 or "/".join(parts[:2]) in _OWN:
            raise UnsafePath(path, "belongs to the trash")
    elif reach is Reach.RECORDS and not _is_in_layout(parts):
        raise UnsafePath(path, "is no place of a record")


@lru_cache(maxsize=1024)
def _usable_bare(part: str) -> str | None:
    """Return a name as `_bare` does, `_OF_GIT` for git's own folder, None for no name at all."""
    if part in _NO_NAMES or _is_unusable(part):
        return None
    bare = _bare(part)
    return _OF_GIT if _is_git_bare(bare) else bare


def _is_unusable(part: str) -> bool:
    """Whether a name means something else on another system, or is none."""
    return "\0" in part or (os.name == "nt" and not {"\\", ":"}.isdisjoint(part))


def _is_in_layout(parts: list[str]) -> bool:
    if len(parts) == 1:
        return parts[0] == PROJECT_FILE
    return parts[0] in _TOP_FOLDERS or parts[0] == QUESTIONS


def is_git_name(part: str) -> bool:
    """Whether some system takes a name for git's own folder, or for none."""
    return _is_git_bare(_bare(part))


def _is_git_bare(bare: str) -> bool:
    return not bare or bare.partition(":")[0] in _GIT_NAMES


def is_trash_name(part: str) -> bool:
    """Whether some system takes a name for the trash."""
    return _bare(part) == TRASH


@lru_cache(maxsize=1024)
def _bare(part: str) -> str:
    """Return a name as the most forgiving file systems read it."""
    if part.isascii():
        return part.lower().rstrip(". ")
    folded_name = unicodedata.normalize("NFKC", part).casefold().rstrip(". ")
    return "".join(
        character for character in folded_name if unicodedata.category(character) != "Cf"
    )


class LinkCheck:
    """Refuses paths that are links or lead through one. Remembers which parts are none.

    Attributes:
        missing: Paths that were looked at and are not there; nothing can be below them.

    Args:
        folder: The project's folder, which may itself be reached by a link.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._plain: set[str] = set()
        self.missing: set[str] = set()

    def check(self, paths: Iterable[str]) -> None:
        """Refuse paths within the folder that are links or lead through one.

        Raises:
            UnsafePath: One does.
        """
        for path in paths:
            for part in _steps(path):
                if part in self.missing or (part not in self._plain and not self._is_there(part)):
                    break

    def _is_there(self, part: str) -> bool:
        """Return whether a part is there, and remember it.

        Raises:
            UnsafePath: It is a link.
        """
        try:
            mode = os.lstat(f"{self._folder}/{part}").st_mode
        except FileNotFoundError:
            self.missing.add(part)
            return False
        except (OSError, ValueError):  # such as a file where a folder is to be
            mode = 0
        if S_ISLNK(mode):
            raise UnsafePath(part, "is a link")
        self._plain.add(part)
        return True


def check_links(folder: Path, paths: Iterable[str]) -> None:
    """Refuse paths that are links or lead through one, wherever it leads.

    Args:
        folder: The project's folder, which may itself be reached by a link.
        paths: Paths within it.

    Raises:
        UnsafePath: One does.
    """
    LinkCheck(folder).check(paths)


def has_links(folder: Path, path: str) -> bool:
    """Whether a path within a folder is a link or leads through one."""
    try:
        check_links(folder, [path])
    except UnsafePath:
        return True
    return False


def check_target(file: Path) -> None:
    """Refuse to write a file that somebody asks for into the folder of any git repository.

    Raises:
        UnsafePath: It would lie there, also by way of links.
    """
    for path in (file, file.resolve()):
        if any(map(is_git_name, path.parts)):
            raise UnsafePath(str(file), "belongs to git")


def _steps(path: str) -> list[str]:
    """Return the folders that lead to a path, topmost first, and the path."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
