"""The one place that runs git.

Credentials are git's own; none is stored, logged or shown. No command runs a hook, asks a
question, or touches the project's files and git's own index. The project's files change through
the store's commit log alone (`storage/collaboration/worktree.py`).
"""

import importlib
import os
import shlex
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from types import ModuleType

from storage.git.environment import NO_PROMPTS, READ_NO_FILES, SETTINGS, SSH_OPTIONS
from storage.git.errors import GitError
from storage.git.folder_checks import is_foreign_repository, special_file

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""Git's name for a tree without files."""

_TIMEOUT_S = 120
_TRANSFER_TIMEOUT_S = 900
_STALE_LOCK_S = 5.0
"""Refs are locked for milliseconds. An older lock was left by a process that died."""
_LOCK_ROUNDS = 40
_PAUSE_S = 0.2
_NO_OBJECT = "0" * 40


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs between two trees.

    Attributes:
        path: The file.
        mode: Git's mode of it after the change, such as "100644".
        old: The id of its old content; None for a new file.
        new: The id of its new content; None for a deleted file.
    """

    path: str
    mode: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Git:
    """Git in one folder, for one operation. Its methods block: call them in a thread.

    What it reads of git's settings holds while it lives: an operation starts many commands, and
    each question would start one more.

    Attributes:
        folder: The folder.
    """

    folder: Path
    _settings: dict[str, str | None] = field(
        default_factory=dict[str, str | None], init=False, repr=False, compare=False
    )
    _inner: dict[str, Path] = field(
        default_factory=dict[str, Path], init=False, repr=False, compare=False
    )

    def run(
        self,
        *arguments: str,
        action: str = "look at the project",
        extra: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout_s: int = _TIMEOUT_S,
    ) -> bytes:
        """Run one git command and return what it prints.

        Args:
            arguments: The command's arguments.
            action: What git is to do, for the error's sentence.
            extra: Further environment variables.
            stdin: The command's input.
            timeout_s: The longest it may take, in seconds.

        Raises:
            GitError: It failed or took too long.
        """
        special = special_file(self.folder)
        if special is not None:
            raise GitError(action, f"{special} is not a regular file, and git would wait for it")
        if is_foreign_repository(self.folder / ".git"):
            raise GitError(
                action,
                f"{self.folder / '.git'} leads to a repository of another folder. Clone the "
                "project instead, or make a work tree with git worktree add",
            )
        settings = [part for setting in SETTINGS for part in ("-c", setting)]
        with tempfile.TemporaryFile() as source:
            source.write(stdin or b"")
            source.seek(0)
            git = _library(action)
            try:
                status, out, err = git.Git(os.fspath(self.folder)).execute(
                    ["git", *settings, *arguments],
                    istream=source,
                    with_extended_output=True,
                    with_exceptions=False,
                    stdout_as_string=False,
                    strip_newline_in_stdout=False,
                    env={**NO_PROMPTS, **self._no_filters(arguments), **(extra or {})},
                    kill_after_timeout=timeout_s,
                )
            except (git.GitCommandNotFound, OSError) as error:
                raise GitError(action, f"the program git does not start ({error})") from None
        if status:
            raise GitError(action, f"{_as_text(err)}\n{_as_text(out)}")
        return out

    def reach(self, *arguments: str, action: str) -> None:
        """Run a command that uses the network; it never waits for a person.

        Raises:
            GitError: It failed, or the repository could not be reached or denied access.
        """
        self.write(
            *arguments,
            action=action,
            extra={"GIT_SSH_COMMAND": self._ssh()},
            timeout_s=_TRANSFER_TIMEOUT_S,
        )

    def write(
        self,
        *arguments: str,
        action: str,
        extra: Mapping[str, str] | None = None,
        timeout_s: int = _TIMEOUT_S,
    ) -> None:
        """Run a command that writes refs; remove locks that dead processes left.

        Raises:
            GitError: It failed for another reason than a lock, or the lock stays.
        """
        for _ in range(_LOCK_ROUNDS):
            try:
                self.run(*arguments, action=action, extra=extra, timeout_s=timeout_s)
            except GitError as error:
                if error.lock_file is None or not self._outlast_lock(error.lock_file):
                    raise
            else:
                return
        raise GitError(action, "another git process holds a lock for too long")

    def text(
        self,
        *arguments: str,
        action: str = "look at the project",
        extra: Mapping[str, str] | None = None,
    ) -> str:
        """Run one git command and return its text, without the last line feed."""
        out = self.run(*arguments, action=action, extra=extra)
        return out.decode("utf-8", "surrogateescape").rstrip("\n")

    def lines(self, *arguments: str, extra: Mapping[str, str] | None = None) -> list[str]:
        """Run one git command and return its items, which end with NUL."""
        text = self.run(*arguments, extra=extra).decode("utf-8", "surrogateescape")
        return [item for item in text.split("\0") if item]

    def try_text(self, *arguments: str) -> str | None:
        """Run one git command and return its text; None if it fails."""
        try:
            return self.text(*arguments)
        except GitError:
            return None

    def filters(self) -> list[str]:
        """Return the names of the filters that settings of this machine define, such as `lfs`."""
        keys = self.setting("--name-only", "-z", "--get-regexp", r"^filter\.") or ""
        return list(dict.fromkeys(key[7:].rpartition(".")[0] for key in keys.split("\0") if key))

    def setting(self, *query: str) -> str | None:
        """Return what git's settings say; None if they say nothing.

        Args:
            query: A key such as "user.name", or the options of `git config`.
        """
        key = "\0".join(query)
        if key not in self._settings:
            self._settings[key] = self.try_text("config", *query)
        return self._settings[key]

    def _no_filters(self, arguments: Sequence[str]) -> dict[str, str]:
        """Return environment variables that turn off filters for the .gitattributes of a folder.

        The attributes are the folder's, which may be foreign. The programs are the person's.
        """
        if arguments[0] in READ_NO_FILES:
            return {}
        values = (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
        pairs = [
            (f"filter.{name}.{key}", value) for name in self.filters() for key, value in values
        ]
        count = os.environ.get("GIT_CONFIG_COUNT", "")
        first = int(count) if count.isdecimal() else 0
        settings = {"GIT_CONFIG_COUNT": str(first + len(pairs))}
        for number, (key, value) in enumerate(pairs, first):
            settings |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return settings

    def inner(self, name: str) -> Path:
        """Return the path of one of git's own files, such as "index"."""
        if name not in self._inner:
            self._inner[name] = self.folder / self.text("rev-parse", "--git-path", name)
        return self._inner[name]

    def inner_paths(self, *names: str) -> dict[str, Path]:
        """Return the paths of several of git's own files, with one call of git."""
        options = [part for name in names for part in ("--git-path", name)]
        paths = self.text("rev-parse", *options).split("\n")
        if len(paths) != len(names):  # the folder's name has a line break
            return {name: self.inner(name) for name in names}
        return {name: self.folder / path for name, path in zip(names, paths, strict=True)}

    def changes(self, start: str, end: str, *options: str) -> list[FileChange]:
        """Return the files that differ between two trees or commits.

        Args:
            start: The old tree or commit.
            end: The new tree or commit.
            options: "--relative" for files below the folder only, with paths from there.
        """
        items = iter(self.lines("diff-tree", "-r", "-z", "--no-renames", *options, start, end))
        changes: list[FileChange] = []
        for head in items:
            _, mode, old, new, _ = head.split(" ")
            change = FileChange(
                next(items),
                mode,
                None if old == _NO_OBJECT else old,
                None if new == _NO_OBJECT else new,
            )
            changes.append(change)
        return changes

    def blobs(self, names: Sequence[str | None]) -> list[bytes | None]:
        """Return the contents of objects such as "HEAD:path"; None for missing ones."""
        queries = [name for name in names if name and "\n" not in name]
        if not queries:
            return [None] * len(names)
        text = "".join(f"{name}\n" for name in queries).encode("utf-8", "surrogateescape")
        answer = self.run("cat-file", "--batch", stdin=text)
        contents: dict[str, bytes | None] = {}
        at = 0
        for name in queries:
            end = answer.index(b"\n", at)
            head = answer[at:end].split(b" ")
            at = end + 1
            if head[-1] == b"missing" or len(head) < 3:
                contents[name] = None
                continue
            size = int(head[-1])
            contents[name] = answer[at : at + size] if head[-2] == b"blob" else None
            at += size + 1
        return [contents.get(name) if name else None for name in names]

    def _outlast_lock(self, lock: Path) -> bool:
        """Wait for a lock of git's, or remove a stale one; return False for another file."""
        inside = self.text("rev-parse", "--git-common-dir")
        if not lock.is_relative_to((self.folder / inside).resolve()):
            return False
        try:
            age = time.time() - lock.stat().st_mtime
        except FileNotFoundError:
            return True
        if age > _STALE_LOCK_S:
            lock.unlink(missing_ok=True)
        else:
            time.sleep(_PAUSE_S)
        return True

    def _ssh(self) -> str:
        """Return the person's own ssh command, with options against prompts."""
        setting = os.environ.get("GIT_SSH_COMMAND") or self.setting("core.sshCommand")
        command = setting or shlex.quote(os.environ.get("GIT_SSH", "ssh"))
        program = PurePath((shlex.split(command) or [""])[0]).stem
        return f"{command} {SSH_OPTIONS}" if program == "ssh" else command


def _library(action: str) -> ModuleType:
    """Import GitPython, which is slow, and fails if the program git is not installed."""
    try:
        return importlib.import_module("git")
    except ImportError:
        raise GitError(action, "the program git is not installed") from None


def _as_text(output: str | bytes) -> str:
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else output
