"""Errors of the server's own rooms; the store's are in `storage.errors`.

    storage.errors.WorkbenchError  the root: its text is one sentence for the reader
    ├── InvalidArguments           a call's arguments do not fit the capability
    ├── UnusableValue              a record breaks a rule of its kind
    ├── UnknownCapability          no capability has this name
    ├── UnknownProject             no project is known by this name or path
    │   ├── MissingProject         its folder is not there any more
    │   └── AmbiguousProject       several projects have this name
    ├── AlreadyServing             another daemon serves this home
    ├── UnusablePath               a path that cannot be meant
    ├── approvals.errors           a person must agree first (kiln_mcp/approvals/errors.py)
    └── llm.errors.ModelError      everything about models (kiln_mcp/llm/errors.py)

Errors are named by their cause, without a suffix; the constructor writes the sentence.
"""

import difflib
import errno
import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from storage.errors import WorkbenchError, system_reason
from storage.text.excerpts import LONGEST_REASON, excerpt, excerpts


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Return the errors of a group, however deep they lie in it; one that is none, by itself."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for one in cast("BaseExceptionGroup[BaseException]", error).exceptions:
        yield from leaves(one)


def unwrap(error: BaseException) -> BaseException:
    """Return the error of a group that tells a reader most; a plain exception as it is.

    An interrupt comes first, then one of our own sentences, then what the system refused.
    """
    each = list(leaves(error))
    for kinds in (_INTERRUPTS, WorkbenchError, OSError):
        for one in each:
            if isinstance(one, kinds):
                return one
    return each[0]


_INTERRUPTS = (KeyboardInterrupt, SystemExit)


@contextmanager
def one_error() -> Generator[None]:
    """Raise one error where a task group would raise a group of them."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise unwrap(group) from group


def closest(name: str, candidates: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the candidate nearest to `name`, or nothing."""
    name = excerpt(name)  # comparing takes time with the square of the length
    found = difflib.get_close_matches(name.casefold(), {c.casefold(): c for c in candidates}, n=1)
    originals = {c.casefold(): c for c in candidates}
    return f" Did you mean '{originals[found[0]]}'?" if found else ""


_MOST_PROBLEMS = 10


class InvalidArguments(WorkbenchError):
    """A call's arguments do not fit the capability's schema."""

    def __init__(self, capability: str, problems: Sequence[str]) -> None:
        self.capability = capability
        self.problems = tuple(problems)
        shown = excerpts(problems, " ", longest=LONGEST_REASON, limit=_MOST_PROBLEMS)
        super().__init__(f"{capability} was not called: {shown}")


class UnusableValue(WorkbenchError):
    """A record that a capability was to make of its arguments breaks a rule of its kind."""

    def __init__(self, capability: str, kind: str, reason: str) -> None:
        super().__init__(
            f"{capability} stopped: this {kind} cannot be saved: {reason}. Give another value and "
            "call again; what was saved before stays."
        )


class UnknownCapability(WorkbenchError):
    """No capability has this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(
            f"There is no '{name}'.{closest(name, known)} There are: {', '.join(sorted(known))}."
        )


class UnknownProject(WorkbenchError):
    """No project is known by this name, and no folder of this path holds one."""

    def __init__(self, reference: str, known: Sequence[str], damage: str = "") -> None:
        names = f" Known projects: {', '.join(known)}." if known else " No project is known yet."
        said = f" {damage}" if damage else ""
        super().__init__(
            f"No project '{reference}'.{closest(reference, known)}{names}{said} "
            "Give the path of a folder that holds a project.kiln, or call create_project."
        )


class MissingProject(UnknownProject):
    """The folder that a known project lay in is not there any more."""

    def __init__(self, reference: str, folder: Path) -> None:
        WorkbenchError.__init__(
            self,
            f"The project '{reference}' is not there any more: its folder was {folder}. If it was "
            "moved, give the path of its new folder; if it was deleted, bring it back from a "
            "backup or with import_project.",
        )


class AmbiguousProject(UnknownProject):
    """Several projects have this name."""

    def __init__(self, reference: str, folders: Sequence[Path]) -> None:
        places = " and ".join(str(folder) for folder in folders)
        WorkbenchError.__init__(
            self,
            f"'{reference}' may mean any of {len(folders)} projects: {places}. Give the path of "
            "the one that is meant. For the name to mean one of them from now on, the person runs "
            "in a terminal: kiln-mcp projects --keep-name FOLDER",
        )


class AlreadyServing(WorkbenchError):
    """Another daemon serves this home."""

    def __init__(self, home: Path) -> None:
        super().__init__(
            f"Another daemon serves {home} already. Clients find it by themselves; to run a second "
            "one, give it a home of its own with KILN_MCP_HOME."
        )


class UnusablePath(WorkbenchError):
    """A path that cannot be meant here."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"The path {path!r} {reason}. Give the whole path, from the root or from ~."
        )


def disk_sentence(error: OSError) -> str:
    """Return a sentence for what the disk or the system refused, where no room foresaw it."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "The disk is full. Free some space and try again; what was saved before stays."
    reason = (error.strerror or str(error)).rstrip(".").casefold()
    what = f"'{excerpt(error.filename)}'" if error.filename else "A file or connection"
    return f"{what} cannot be used: {reason}. Choose another, or mend that, and try again."


def database_sentence(file: Path, error: Exception | str, lost: str) -> str:
    """Return a sentence for a database of the home that cannot be used.

    Args:
        file: Where it is.
        error: What SQLite or the system says.
        lost: What is lost with it, as a sentence without its end.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without what extends it
    if os.path.isdir(file):  # noqa: PTH112 - raises nothing, however long it is
        return f"{file} is a folder, where a file has to be. Move it away, then try again."
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return f"{file} is damaged, or no database. Move it away, then try again. {lost}."
    if code in _NO_RIGHTS or isinstance(error, PermissionError):
        return (
            f"{file} cannot be written. Give yourself the right to write it and its folder, or "
            "name another home in KILN_MCP_HOME, then try again."
        )
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
        return disk_sentence(OSError(errno.ENOSPC, ""))
    detail = system_reason(error) if isinstance(error, OSError) else str(error)
    line = " ".join(detail.split())[:300].rstrip(".")
    return (
        f"{file} cannot be used: {line}. Check its rights and the disk, or name another home in "
        "KILN_MCP_HOME, then try again."
    )


_NO_RIGHTS = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
