"""The one place that runs git. Credentials are git's own; none is stored, logged or shown."""

import importlib
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from storage.errors import StorageError

_SLOWEST_S = 120
_SECRET = re.compile(r"(?<=://)[^/@\s]+@")
_OFFLINE = re.compile(
    r"could not resolve|unable to access|connection (refused|timed out|reset)|network is|"
    r"does not appear to be a git repository|could not read from remote|no such remote|timeout",
    re.IGNORECASE,
)
_REJECTED = re.compile(r"\[rejected\]|non-fast-forward|fetch first|cannot lock ref|remote rejected")


class GitFailed(StorageError):  # noqa: N818 - errors are named by their cause
    """Git refused; nothing of the project was lost."""

    def __init__(self, action: str, output: str) -> None:
        self.output = without_secrets(output).strip()
        lines = [line for line in self.output.splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else "no reason given"
        super().__init__(
            f"Git could not {action}: {reason}. Everything you did is saved on this machine."
        )

    @property
    def is_offline(self) -> bool:
        """Whether the other side could not be reached."""
        return bool(_OFFLINE.search(self.output))

    @property
    def is_rejected(self) -> bool:
        """Whether somebody else was faster."""
        return bool(_REJECTED.search(self.output))


def without_secrets(text: str) -> str:
    """Return a text whose URLs have no user names and tokens."""
    return _SECRET.sub("***@", text)


def _library(action: str) -> ModuleType:
    """Return GitPython: it is slow to import, and refuses where no program git is installed."""
    try:
        return importlib.import_module("git")
    except ImportError:
        raise GitFailed(action, "the program git is not installed") from None


def _as_text(output: str | bytes) -> str:
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else output


@dataclass(frozen=True, slots=True)
class Git:
    """Git in one folder. Its methods block: call them in a thread."""

    folder: Path

    def run(
        self,
        *arguments: str,
        action: str = "look at the project",
        extra: Mapping[str, str] | None = None,
        given: bytes | None = None,
    ) -> bytes:
        """Run one git command and return what it prints.

        Args:
            arguments: The command's arguments.
            action: What the person wanted, for the error's sentence.
            extra: Further environment variables.
            given: What the command reads.

        Raises:
            GitFailed: It failed or took too long.
        """
        environment = {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_MERGE_AUTOEDIT": "no",
            "LC_ALL": "C",
            **(extra or {}),
        }
        command = ["git", "-c", "core.quotePath=false", "-c", "core.autocrlf=false", *arguments]
        with tempfile.TemporaryFile() as source:
            source.write(given or b"")
            source.seek(0)
            git = _library(action)
            try:
                status, out, err = git.Git(os.fspath(self.folder)).execute(
                    command,
                    istream=source,
                    with_extended_output=True,
                    with_exceptions=False,
                    stdout_as_string=False,
                    strip_newline_in_stdout=False,
                    env=environment,
                    kill_after_timeout=_SLOWEST_S,
                )
            except (git.GitCommandNotFound, OSError) as error:
                raise GitFailed(action, f"the program git does not start ({error})") from None
        if status:
            printed = out.decode("utf-8", "replace")
            raise GitFailed(action, f"{printed}\n{_as_text(err)}")
        return out

    def text(self, *arguments: str, action: str = "look at the project") -> str:
        """Run one git command and return its text, without the last line's end."""
        return self.run(*arguments, action=action).decode("utf-8", "surrogateescape").rstrip("\n")

    def lines(self, *arguments: str) -> list[str]:
        """Run one git command that ends its items with NUL and return them."""
        text = self.run(*arguments).decode("utf-8", "surrogateescape")
        return [item for item in text.split("\0") if item]

    def try_text(self, *arguments: str) -> str | None:
        """Run one git command and return its text; None where it fails."""
        try:
            return self.text(*arguments)
        except GitFailed:
            return None

    def blobs(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the contents of objects such as "HEAD:path"; None for those that are not there."""
        if not names:
            return []
        asked = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
        answer = self.run("cat-file", "--batch", given=asked)
        found: list[bytes | None] = []
        at = 0
        for _ in names:
            end = answer.index(b"\n", at)
            head = answer[at:end].split(b" ")
            at = end + 1
            if head[-1] == b"missing" or len(head) < 3 or head[-2] != b"blob":
                found.append(None)
                if head[-1] != b"missing":
                    at += int(head[-1]) + 1
                continue
            size = int(head[-1])
            found.append(answer[at : at + size])
            at += size + 1
        return found
