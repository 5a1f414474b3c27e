"""Errors of sharing.

storage.errors.StorageError
├── GitFailed        git refused, or the others could not be reached
├── NotShared        the project has no history yet
├── TokenInAddress   an address holds a password or token
├── UnusableAddress  git would take an address for an option or a program
├── NoBranch         a repository does not say which of its branches holds the project
├── UnsafeSettings   the folder's git settings would run programs
├── UnsafeContent    what others share could leave the project's folder, or run
├── OtherProject     the repository holds another project
├── NoProjectThere   the repository holds none
├── FileInTheWay     the others share a file where one lies that stays on this machine
├── FolderNotEmpty   there is no room for what is to be fetched
├── NothingToUndo    nothing was done since the last sync
├── AlreadyUndone    nothing of what is to be undone is left
├── ProjectStays     only the project's own record is to be undone
├── NoSuchChoice     a question has no choice of this number
├── ChangedSince     what is to be undone was changed again
└── HalfDone         somebody began something with git itself and did not finish it
"""

from collections.abc import Sequence
from pathlib import Path

from storage.errors import StorageError


class NotShared(StorageError):
    """The project has no history yet."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} has no history yet. share_project begins it: with the address of an empty "
            "git repository to share the project, or without one to keep it on this machine."
        )


class OtherProject(StorageError):
    """The repository holds another project."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The repository holds another project, '{name}'. Share this one at the address of an "
            "empty repository, or import that one into a folder of its own."
        )


class NoBranch(StorageError):
    """A repository has several branches, and says of none that it is the one to begin with."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"The repository has the branches {', '.join(names)} and does not say which holds the "
            "project. Let whoever keeps it name its default branch."
        )


class NoProjectThere(StorageError):
    """The repository holds no project."""

    def __init__(self) -> None:
        super().__init__(
            "The repository at this address holds no project.kiln at its top. Check the address, "
            "or share a project there first."
        )


class FileInTheWay(StorageError):
    """The others share a file where one lies that stays on this machine."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"The others share {path!r}, and here lies something of that name that is no part of "
            "the project, or that git is told to ignore. Nothing was brought in, and yours stays "
            "as it is: rename or move it, then sync again."
        )


class FolderNotEmpty(StorageError):
    """There is something already where a project is to be put."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} is not empty. Choose a new folder; nothing was changed.")


class NothingToUndo(StorageError):
    """Nothing was done since the last sync."""

    def __init__(self) -> None:
        super().__init__(
            "Nothing was taken back: nothing was done since the last sync. The history tells what "
            "was done before, and can be undone."
        )


class AlreadyUndone(StorageError):
    """Nothing is left of what is to be undone."""

    def __init__(self) -> None:
        super().__init__(
            "Nothing was changed: this change is undone already. The history tells what was done "
            "since."
        )


class ProjectStays(StorageError):
    """Only the project's own record is to be undone."""

    def __init__(self) -> None:
        super().__init__(
            "Nothing was changed: this change began the project, whose own record stays. Undo a "
            "later change, or delete what is in the project; to be rid of all of it, move its "
            "folder away."
        )


class NoSuchChoice(StorageError):
    """A question has no choice of this number."""

    def __init__(self, number: int, choices: Sequence[str]) -> None:
        listed = "; ".join(f"{at}: {one}" for at, one in enumerate(choices, start=1))
        super().__init__(f"The question has no choice {number}. Choose by the number: {listed}.")


class ChangedSince(StorageError):
    """What is to be undone was changed again since."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"This cannot be undone alone: {what}. Nothing was changed: undo the later change "
            "first, or ask the person how it should be and change it to that."
        )


class HalfDone(StorageError):
    """Somebody began something with git itself and did not finish it."""

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(
            f"Git is {what} in {folder}. Finish that with git, or give it up, then sync again; "
            "nothing was changed."
        )
