"""Errors of the server's own rooms; the store's are in `storage.errors`.

    storage.errors.WorkbenchError  the root: its text is one sentence for the reader
    ├── storage.errors.Refusal
    │   └── UnknownProject         no project is listed by this name or path
    │       └── AmbiguousProject   several projects have this name
    ├── InvalidArguments           a call's arguments do not fit the capability
    ├── UnknownCapability          no capability has this name
    ├── AlreadyServing             another daemon serves this home
    └── UnusablePath               a path that means no place

Errors of approvals are in `kiln_mcp/approvals/errors.py`, those of models in
`kiln_mcp/llm/errors.py`.
"""

import errno
import os
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from storage.errors import Refusal, WorkbenchError, system_reason
from storage.text.excerpts import LONGEST_REASON, excerpt, excerpt_line
from storage.text.suggestions import did_you_mean


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Flatten an exception group; a plain exception yields itself."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for member in cast("BaseExceptionGroup[BaseException]", error).exceptions:
        yield from leaves(member)


def unwrap(error: BaseException) -> BaseException:
    """Return the error of a group that tells a reader most; a plain exception as it is.

    An interrupt comes first, then an error with a sentence of ours, then an error of the system.
    """
    errors = list(leaves(error))
    for kinds in (_INTERRUPTS, WorkbenchError, OSError):
        for leaf in errors:
            if isinstance(leaf, kinds):
                return leaf
    return errors[0]


_INTERRUPTS = (KeyboardInterrupt, SystemExit)


@contextmanager
def one_error() -> Generator[None]:
    """Raise one error instead of the group that a task group raises."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise unwrap(group) from group


_MOST_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class ArgumentProblem:
    """What is wrong with one argument of a call.

    Attributes:
        begin: The sentence before the place.
        place: The names and indices that lead to the value.
        end: The sentence after the place.
    """

    begin: str
    place: tuple[int | str, ...]
    end: str

    def __str__(self) -> str:
        return self.sentence(place_text(self.place))

    def sentence(self, place: str) -> str:
        """Return the sentence with the place as a door writes it."""
        return f"{self.begin} '{excerpt(place)}'{self.end}"

    def under(self, argument: str) -> "ArgumentProblem":
        """Return the same problem within the object that is the value of an argument."""
        return replace(self, place=(argument, *self.place))


def place_text(place: Sequence[int | str]) -> str:
    """Return a place in the arguments: "items[0].input"."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return "".join(steps).removeprefix(".")


class InvalidArguments(WorkbenchError):
    """A call's arguments do not fit the capability's schema.

    Attributes:
        capability: The name of the capability.
        problems: What is wrong with them.
    """

    def __init__(self, capability: str, problems: Sequence[ArgumentProblem]) -> None:
        self.capability = capability
        self.problems = tuple(problems)
        super().__init__(self.text(capability, place_text))

    def text(self, name: str, write_place: Callable[[Sequence[int | str]], str]) -> str:
        """Return the sentences with the capability and the places as a door writes them."""
        sentences = [
            problem.sentence(write_place(problem.place))
            for problem in self.problems[:_MOST_PROBLEMS]
        ]
        remainder = len(self.problems) - len(sentences)
        rest = [f"… and {remainder} more"] if remainder else []
        return f"{name} was not called: {' '.join([*sentences, *rest])}"


class UnknownCapability(WorkbenchError):
    """No capability has this name."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        suggestion = did_you_mean(name, names)
        super().__init__(
            f"There is no '{name}'.{suggestion} There are: {', '.join(sorted(names))}."
        )


class UnknownProject(Refusal):
    """No project is listed by this name, or its folder does not exist."""


class AmbiguousProject(UnknownProject):
    """Several projects have this name."""


class AlreadyServing(WorkbenchError):
    """Another daemon serves this home."""

    def __init__(self, home: Path) -> None:
        super().__init__(
            f"Another daemon serves {home} already. Clients find it by themselves; to run a second "
            "one, give it a home of its own with KILN_MCP_HOME."
        )


class UnusablePath(WorkbenchError):
    """A path that means no place here."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"The path {path!r} {reason}. Give the whole path, from the root or from ~."
        )


def disk_sentence(error: OSError) -> str:
    """Return a sentence for an error of the disk or the system that no room handles."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "The disk is full. Free some space and try again; what was saved before stays."
    reason = (error.strerror or str(error)).rstrip(".").casefold()
    place = f"'{excerpt(error.filename)}'" if error.filename else "A file or connection"
    return f"{place} cannot be used: {reason}. Choose another, or mend that, and try again."


def database_sentence(file: Path, error: Exception | str, loss: str) -> str:
    """Return a sentence for a database of the home that cannot be used.

    Args:
        file: The database.
        error: The error of SQLite or of the system.
        loss: What is lost with it, as a sentence without its full stop.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended code
    if os.path.isdir(file):  # noqa: PTH112 - raises nothing, however long it is
        return f"{file} is a folder, where a file has to be. Move it away, then try again."
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return f"{file} is damaged, or no database. Move it away, then try again. {loss}."
    if code in _NO_RIGHTS or isinstance(error, PermissionError):
        return (
            f"{file} cannot be written. Give yourself the right to write it and its folder, or "
            "name another home in KILN_MCP_HOME, then try again."
        )
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
        return disk_sentence(OSError(errno.ENOSPC, ""))
    detail = system_reason(error) if isinstance(error, OSError) else str(error)
    line = excerpt_line(detail, LONGEST_REASON).rstrip(".")
    return (
        f"{file} cannot be used: {line}. Check its rights and the disk, or name another home in "
        "KILN_MCP_HOME, then try again."
    )


_NO_RIGHTS = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
