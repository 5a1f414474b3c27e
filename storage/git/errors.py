"""Errors of git."""

import re
from collections.abc import Sequence
from pathlib import Path

from storage.errors import StorageError
from storage.text.secret_masks import mask_arguments, mask_logins

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


class UnusableAddress(StorageError):
    """An address is too long, or git would take it for an option or a program."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{without_secrets(address)[:80]!r} is no address of a repository. Give an https:// or "
            "ssh address, or the path of a folder."
        )


def without_secrets(text: str) -> str:
    """Return a text whose URLs have no user names, passwords and tokens."""
    return mask_arguments(mask_logins(text))


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
