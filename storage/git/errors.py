"""Errors of git.

storage.errors.StorageError
├── GitError         git refused, or the remote repository could not be reached
└── UnsafeSettings   the folder's git settings could run programs
"""

import re
from collections.abc import Sequence
from pathlib import Path

from storage.errors import StorageError
from storage.text.secret_masks import mask_arguments, mask_logins

FETCH_PROJECT = "fetch the project"
"""The action of a fetch into a new folder. Nothing local exists yet that could be saved."""

_CAUSE = re.compile(r"(?:fatal|error|ssh|remote: error): ?(.*)", re.IGNORECASE)
_OFFLINE = re.compile(
    r"could not resolve|unable to access|connection (refused|timed out|reset|closed)|network is|"
    r"does not appear to be a git repository|could not read from remote|no such remote|timeout|"
    r"repository .{0,300} not found|early eof|hung up|operation too slow",
    re.IGNORECASE,
)
_ACCESS_DENIAL = re.compile(
    r"terminal prompts disabled|authentication failed|could not read (username|password)|"
    r"permission denied|access denied|invalid credentials|returned error: 40[13]",
    re.IGNORECASE,
)
_LOCAL_FAULT = re.compile(
    r"could not (lock config|create work tree|create leading|open|write)|cannot mkdir|"
    r"read-only file system|unable to create (file|temporary)|insufficient permission|"
    r"^(?:fatal: |error: )?/[^\n]*: permission denied",
    re.IGNORECASE | re.MULTILINE,
)
_UNKNOWN_HOST = re.compile(r"host key verification failed", re.IGNORECASE)
_REJECTION = re.compile(
    r"\[rejected\]|non-fast-forward|fetch first|cannot lock ref|remote rejected"
)
_LOCK = re.compile(r"^(?:fatal|error): .*Unable to create '(.+\.lock)': File exists", re.MULTILINE)


class GitError(StorageError):
    """Git refused; nothing of the project was lost.

    Attributes:
        output: What git printed, without user names, passwords and tokens.
    """

    def __init__(self, action: str, output: str) -> None:
        """Write the sentence.

        Args:
            action: What git was to do, such as "send".
            output: What git printed.
        """
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
        """Whether the remote repository could not be reached, or denied access."""
        is_remote = any(
            pattern.search(self.output) for pattern in (_OFFLINE, _ACCESS_DENIAL, _UNKNOWN_HOST)
        )
        return is_remote and not (
            self.is_rejected or self.lock_file or _LOCAL_FAULT.search(self.output)
        )

    @property
    def is_rejected(self) -> bool:
        """Whether the remote branch moved meanwhile, so that a push was rejected."""
        return bool(_REJECTION.search(self.output))

    @property
    def lock_file(self) -> Path | None:
        """The lock that another git process holds or left behind."""
        match = _LOCK.search(self.output)
        return Path(match.group(1)) if match else None


class UnsafeSettings(StorageError):
    """The folder's own git settings could run programs or lead elsewhere.

    Attributes:
        keys: All of these settings; the sentence names the first.
    """

    def __init__(self, file: Path, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)
        super().__init__(
            f"{file} has settings that can run programs or lead elsewhere: {', '.join(keys)}. "
            "Nothing was run. If they came with the folder, remove them. If they are yours, move "
            "them to your own settings (git config --global)."
        )


def without_secrets(text: str) -> str:
    """Mask user names, passwords and tokens in the URLs of a text."""
    return mask_arguments(mask_logins(text))


def _reason(output: str) -> str:
    """Return why git refused, and the next step if one is known."""
    if _UNKNOWN_HOST.search(output):
        return (
            "this machine does not know the repository's host key. Connect to the host once with "
            "ssh in a terminal and accept its key, then sync again"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    causes = [match.group(1) for line in lines if (match := _CAUSE.match(line)) and match.group(1)]
    cause = (causes or lines[-1:] or ["no reason given"])[0].rstrip(".")
    denial = next((line for line in lines if _ACCESS_DENIAL.search(line)), None)
    if _LOCAL_FAULT.search(output):
        return (
            f"the folder cannot be written ({cause}). Give yourself permission to write there, "
            "then try again"
        )
    if denial is not None:
        cause = causes[0] if causes and _ACCESS_DENIAL.search(causes[0]) else denial
        cause = cause.rstrip(".")
        return (
            f"the repository denied access ({cause}). Sign in once with git itself, "
            "such as by git fetch in a terminal, then sync again"
        )
    return cause
