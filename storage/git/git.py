"""The one place that runs git. Credentials are git's own; none is stored, logged or shown.

No command here runs a hook, asks a question, or touches the project's files and git's own index:
what people see changes through the store's commit log alone (`worktree.py`).
"""

import importlib
import os
import shlex
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from stat import S_ISDIR, S_ISREG
from types import ModuleType
from typing import Final

from storage.files import read_plain
from storage.git.errors import GitFailed

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""Git's name for a tree without files."""

_SLOWEST_S = 120
_SLOWEST_TRANSFER_S = 900
_LONGEST_LOCK_S = 5.0
"""Refs are locked for milliseconds: an older lock was left by a process that died."""
_LOCK_ROUNDS = 40
_PAUSE_S = 0.2
_NO_OBJECT = "0" * 40
_LONGEST_POINTER: Final = 4096
_READ_BY_GIT: Final = (
    *(".gitattributes", ".gitignore", ".gitmodules", ".git", ".git/config", ".git/config.worktree"),
    *(".git/HEAD", ".git/index", ".git/packed-refs", ".git/commondir", ".git/shallow"),
    *(".git/info/exclude", ".git/info/attributes", ".git/info/grafts"),
    *(".git/objects/info/alternates", ".git/MERGE_HEAD"),
)
_SETTINGS = (
    "core.quotePath=false",
    "core.autocrlf=false",
    "core.fileMode=false",
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    "fetch.recurseSubmodules=false",
    # What lies in a repository within is run by its own settings, which ours do not reach.
    "push.recurseSubmodules=no",
    "submodule.recurse=false",
    "status.submoduleSummary=false",
    "diff.ignoreSubmodules=all",
    "log.showSignature=false",
    "push.gpgSign=false",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "i18n.logOutputEncoding=UTF-8",
    "protocol.ext.allow=never",
    "protocol.fd.allow=never",
    "http.lowSpeedLimit=100",
    "http.lowSpeedTime=30",
)
_NEVER_ASK = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "GCM_INTERACTIVE": "never",
    "LC_ALL": "C",
}
_READ_NO_FILES = frozenset(
    {
        *("cat-file", "check-attr", "check-ignore", "commit-tree", "config", "diff-tree", "init"),
        *("for-each-ref", "log", "ls-files", "ls-remote", "ls-tree", "merge-base", "remote"),
        *("rev-list", "rev-parse", "show-ref", "symbolic-ref", "update-ref", "fetch", "push"),
    }
)
"""The commands that read no file of the folder, not even to renew the index."""
_SSH_OPTIONS = (
    "-oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15 -oServerAliveCountMax=2"
)


def _strange_file(folder: Path) -> Path | None:
    """Return a pipe or device where git reads a file of the folder, if there is one."""
    for name in _READ_BY_GIT:
        file = folder / name
        with suppress(OSError):
            mode = file.stat().st_mode
            if not (S_ISREG(mode) or S_ISDIR(mode)):
                return file
    return None


def _leads_elsewhere(place: Path) -> bool:
    """Whether a folder's `.git` is a link, or names a repository that does not name it back."""
    if place.is_symlink():
        return True
    if not place.is_file():
        return False
    with suppress(OSError, UnicodeDecodeError):
        named = read_plain(place, _LONGEST_POINTER).decode().removeprefix("gitdir:").strip()
        back = read_plain(place.parent / named / "gitdir", _LONGEST_POINTER).decode().strip()
        return (place.parent / named / back).resolve() != place.resolve()
    return True


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs between two trees; no object where it is not there.

    Attributes:
        mode: Git's mode of it after the change, such as "100644".
    """

    path: str
    mode: str
    before: str | None
    after: str | None


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
        slowest_s: int = _SLOWEST_S,
    ) -> bytes:
        """Run one git command and return what it prints.

        Args:
            arguments: The command's arguments.
            action: What the person wanted, for the error's sentence.
            extra: Further environment variables.
            given: What the command reads.
            slowest_s: How long it may take.

        Raises:
            GitFailed: It failed or took too long.
        """
        strange = _strange_file(self.folder)
        if strange is not None:
            raise GitFailed(action, f"{strange} is no ordinary file, and git would wait for it")
        if _leads_elsewhere(self.folder / ".git"):
            raise GitFailed(
                action,
                f"{self.folder / '.git'} leads to a repository of another folder. Clone the "
                "project instead, or make a work tree with git worktree add",
            )
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        with tempfile.TemporaryFile() as source:
            source.write(given or b"")
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
                    env={**_NEVER_ASK, **self._no_filters(arguments), **(extra or {})},
                    kill_after_timeout=slowest_s,
                )
            except (git.GitCommandNotFound, OSError) as error:
                raise GitFailed(action, f"the program git does not start ({error})") from None
        if status:
            raise GitFailed(action, f"{_as_text(err)}\n{_as_text(out)}")
        return out

    def reach(self, *arguments: str, action: str) -> None:
        """Run a command that talks to the others: it never waits for an answer from a person.

        Raises:
            GitFailed: It failed, they could not be reached, or they did not let us in.
        """
        self.write(
            *arguments,
            action=action,
            extra={"GIT_SSH_COMMAND": self._ssh()},
            slowest_s=_SLOWEST_TRANSFER_S,
        )

    def write(
        self,
        *arguments: str,
        action: str,
        extra: Mapping[str, str] | None = None,
        slowest_s: int = _SLOWEST_S,
    ) -> None:
        """Run a command that writes refs, past locks that dead processes left.

        Raises:
            GitFailed: It failed for another reason than a lock.
        """
        for _ in range(_LOCK_ROUNDS):
            try:
                self.run(*arguments, action=action, extra=extra, slowest_s=slowest_s)
            except GitFailed as error:
                if error.lock_file is None or not self._passes(error.lock_file):
                    raise
            else:
                return
        raise GitFailed(action, "another git has been at work here for too long")

    def text(
        self,
        *arguments: str,
        action: str = "look at the project",
        extra: Mapping[str, str] | None = None,
    ) -> str:
        """Run one git command and return its text, without the last line's end."""
        out = self.run(*arguments, action=action, extra=extra)
        return out.decode("utf-8", "surrogateescape").rstrip("\n")

    def lines(self, *arguments: str, extra: Mapping[str, str] | None = None) -> list[str]:
        """Run one git command that ends its items with NUL and return them."""
        text = self.run(*arguments, extra=extra).decode("utf-8", "surrogateescape")
        return [item for item in text.split("\0") if item]

    def try_text(self, *arguments: str) -> str | None:
        """Run one git command and return its text; None where it fails."""
        try:
            return self.text(*arguments)
        except GitFailed:
            return None

    def filters(self) -> list[str]:
        """Return the names of the filters that settings of this machine define, such as `lfs`."""
        keys = self.try_text("config", "--name-only", "-z", "--get-regexp", r"^filter\.") or ""
        return list(dict.fromkeys(key[7:].rpartition(".")[0] for key in keys.split("\0") if key))

    def _no_filters(self, arguments: Sequence[str]) -> dict[str, str]:
        """Return the environment in which no filter runs for the .gitattributes of a folder.

        Attributes are the folder's, which may be foreign; the programs are the person's.
        """
        if arguments[0] in _READ_NO_FILES:
            return {}
        values = (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
        pairs = [(f"filter.{one}.{key}", value) for one in self.filters() for key, value in values]
        count = os.environ.get("GIT_CONFIG_COUNT", "")
        first = int(count) if count.isdecimal() else 0
        settings = {"GIT_CONFIG_COUNT": str(first + len(pairs))}
        for number, (key, value) in enumerate(pairs, first):
            settings |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return settings

    def inner(self, name: str) -> Path:
        """Return the path of one of git's own files of this folder, such as "index"."""
        return self.folder / self.text("rev-parse", "--git-path", name)

    def inner_paths(self, *names: str) -> dict[str, Path]:
        """Return the paths of several of git's own files, from one call of git."""
        options = [part for name in names for part in ("--git-path", name)]
        paths = self.text("rev-parse", *options).split("\n")
        if len(paths) != len(names):  # a folder's name has a line break
            return {name: self.inner(name) for name in names}
        return {name: self.folder / path for name, path in zip(names, paths, strict=True)}

    def changes(self, before: str, after: str, *options: str) -> list[FileChange]:
        """Return the files that differ between two trees or commits.

        Args:
            before: One of them.
            after: The other.
            options: "--relative" for those below the folder alone, with paths from there.
        """
        items = iter(self.lines("diff-tree", "-r", "-z", "--no-renames", *options, before, after))
        found: list[FileChange] = []
        for head in items:
            _, mode, old, new, _ = head.split(" ")
            named = FileChange(
                next(items),
                mode,
                None if old == _NO_OBJECT else old,
                None if new == _NO_OBJECT else new,
            )
            found.append(named)
        return found

    def blobs(self, names: Sequence[str | None]) -> list[bytes | None]:
        """Return the contents of objects such as "HEAD:path"; None for those that are not there."""
        asked = [name for name in names if name and "\n" not in name]
        if not asked:
            return [None] * len(names)
        text = "".join(f"{name}\n" for name in asked).encode("utf-8", "surrogateescape")
        answer = self.run("cat-file", "--batch", given=text)
        found: dict[str, bytes | None] = {}
        at = 0
        for name in asked:
            end = answer.index(b"\n", at)
            head = answer[at:end].split(b" ")
            at = end + 1
            if head[-1] == b"missing" or len(head) < 3:
                found[name] = None
                continue
            size = int(head[-1])
            found[name] = answer[at : at + size] if head[-2] == b"blob" else None
            at += size + 1
        return [found.get(name) if name else None for name in names]

    def _passes(self, lock: Path) -> bool:
        """Wait for a lock of git's, or take away one that is too old; False where it is none."""
        inside = self.text("rev-parse", "--git-common-dir")
        if not lock.is_relative_to((self.folder / inside).resolve()):
            return False
        try:
            age = time.time() - lock.stat().st_mtime
        except FileNotFoundError:
            return True
        if age > _LONGEST_LOCK_S:
            lock.unlink(missing_ok=True)
        else:
            time.sleep(_PAUSE_S)
        return True

    def _ssh(self) -> str:
        """Return the person's own ssh command, told never to ask."""
        set_up = os.environ.get("GIT_SSH_COMMAND") or self.try_text("config", "core.sshCommand")
        command = set_up or shlex.quote(os.environ.get("GIT_SSH", "ssh"))
        program = PurePath((shlex.split(command) or [""])[0]).stem
        return f"{command} {_SSH_OPTIONS}" if program == "ssh" else command


def _library(action: str) -> ModuleType:
    """Return GitPython: it is slow to import, and refuses where no program git is installed."""
    try:
        return importlib.import_module("git")
    except ImportError:
        raise GitFailed(action, "the program git is not installed") from None


def _as_text(output: str | bytes) -> str:
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else output
