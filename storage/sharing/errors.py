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

# ruff: noqa: N818 - errors are named by their cause

import re
from collections.abc import Sequence
from pathlib import Path

from storage.errors import StorageError

_SECRET = re.compile(r"(?<=://)[^/\s]*@")
_SECRET_ARGUMENT = re.compile(r"((?:token|password|secret|key)=)[^&\s'\"]+", re.IGNORECASE)
_CAUSE = re.compile(r"(?:fatal|error|ssh|remote: error): ?(.*)", re.IGNORECASE)
_OFFLINE = re.compile(
    r"could not resolve|unable to access|connection (refused|timed out|reset|closed)|network is|"
    r"does not appear to be a git repository|could not read from remote|no such remote|timeout|"
    r"repository .{0,300} not found|early eof|hung up|operation too slow",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"terminal prompts disabled|authentication failed|could not read (username|password)|"
    r"permission denied|access denied|invalid credentials|returned error: 40[13]",
    re.IGNORECASE,
)
_LOCAL = re.compile(
    r"could not (lock config|create work tree|create leading|open|write)|cannot mkdir|"
    r"read-only file system|unable to create (file|temporary)|insufficient permission|"
    r"^(?:fatal: |error: )?/[^\n]*: permission denied",
    re.IGNORECASE | re.MULTILINE,
)
FETCH_PROJECT = "fetch the project"
"""What is wanted where nothing is here yet that could be saved."""
_NEVER_MET = re.compile(r"host key verification failed", re.IGNORECASE)
_REJECTED = re.compile(r"\[rejected\]|non-fast-forward|fetch first|cannot lock ref|remote rejected")
_LOCKED = re.compile(
    r"^(?:fatal|error): .*Unable to create '(.+\.lock)': File exists", re.MULTILINE
)


class GitFailed(StorageError):
    """Git refused; nothing of the project was lost."""

    def __init__(self, action: str, output: str) -> None:
        self.output = without_secrets(output).strip()
        super().__init__(
            f"Git could not {action}: {_reason(self.output)}. "
            + (
                "No project was added."
                if action == FETCH_PROJECT
                else "Everything you did is saved on this machine."
            )
        )

    @property
    def is_unreachable(self) -> bool:
        """Whether the others could not be reached, or did not let us in."""
        return any(
            pattern.search(self.output) for pattern in (_OFFLINE, _REFUSED, _NEVER_MET)
        ) and not (self.is_rejected or self.lock_file or _LOCAL.search(self.output))

    @property
    def is_rejected(self) -> bool:
        """Whether somebody else was faster."""
        return bool(_REJECTED.search(self.output))

    @property
    def lock_file(self) -> Path | None:
        """The lock that another git holds, or left behind."""
        found = _LOCKED.search(self.output)
        return Path(found.group(1)) if found else None


class NotShared(StorageError):
    """The project has no history yet."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} has no history yet. share_project begins it: with the address of an empty "
            "git repository to share the project, or without one to keep it on this machine."
        )


class TokenInAddress(StorageError):
    """An address holds a password or token."""

    def __init__(self) -> None:
        super().__init__(
            "The address holds a password or token, which would be stored in the project's "
            "settings. Give it without one: git asks its own credential store."
        )


class UnsafeSettings(StorageError):
    """The folder's own git settings could run programs or lead elsewhere.

    Attributes:
        keys: All of these settings; the sentence names the first.
    """

    def __init__(self, file: Path, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)
        super().__init__(
            f"{file} has settings that can run programs or lead elsewhere: {', '.join(keys)}. "
            "Nothing was run. Take them out if they came with the folder; if they are yours, move "
            "them to your own settings (git config --global)."
        )


class UnsafeContent(StorageError):
    """What others share could leave the project's folder, or mean something else elsewhere."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"Nothing was brought in: what the others share has {path!r}, which {reason}. Ask who "
            "added it to take it out; everything you did is saved on this machine."
        )


class OtherProject(StorageError):
    """The repository holds another project."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The repository holds another project, '{name}'. Share this one at the address of an "
            "empty repository, or import that one into a folder of its own."
        )


class UnusableAddress(StorageError):
    """An address is too long, or git would take it for an option or a program."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{without_secrets(address)[:80]!r} is no address of a repository. Give an https:// or "
            "ssh address, or the path of a folder."
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


def without_secrets(text: str) -> str:
    """Return a text whose URLs have no user names, passwords and tokens."""
    return _SECRET_ARGUMENT.sub(r"\1***", _SECRET.sub("***@", text))


def _reason(output: str) -> str:
    if _NEVER_MET.search(output):
        return (
            "this machine has never met the repository's host. Connect to it once with ssh in a "
            "terminal and accept its key, then sync again"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    causes = [found.group(1) for line in lines if (found := _CAUSE.match(line)) and found.group(1)]
    said = (causes or lines[-1:] or ["no reason given"])[0].rstrip(".")
    refusal = next((line for line in lines if _REFUSED.search(line)), None)
    if _LOCAL.search(output):
        return f"the folder cannot be written ({said}). Let yourself write there, then try again"
    if refusal is not None:
        said = causes[0] if causes and _REFUSED.search(causes[0]) else refusal
        said = said.rstrip(".")
        return (
            f"the repository lets in only whom it knows ({said}). Sign in once with git itself, "
            "such as by git fetch in a terminal, then sync again"
        )
    return said
