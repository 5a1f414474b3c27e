"""The projects that this person has opened, and what a reference to a project means.

A path always means that path: an absolute one, one from `~`, `.` or `..`. Any other reference is a
name, or a folder below the one that the process was started in. Names come out of the projects
themselves, so a foreign project can bear any: one that looks like a path is not kept as a name, and
one that two projects bear means neither until the person says which.

`projects.json` in the home lists each folder once, the oldest first. Several processes change it,
one after the other under a lock.
"""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import anyio.to_thread
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from kiln_mcp.errors import AmbiguousProject, MissingProject, UnknownProject
from kiln_mcp.home import prepare_home, write_private
from storage import ProjectStore
from storage.format.layout import PROJECT_FILE
from storage.records.names import folded_name, name_to_store, shown_name

_LOCK_WAIT_S: Final = 10.0
_PATH: Final = re.compile(r"[/\\~]|\.{1,2}(?:[/\\]|\Z)|[A-Za-z]:[/\\]")


class KnownProject(BaseModel):
    """A project that was opened once.

    Attributes:
        name: Its name when it was last opened.
        folder: Its folder.
        keeps_name: Whether the person has said that this one is meant by its name.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    folder: Path
    keeps_name: bool = False

    @property
    def is_there(self) -> bool:
        """Whether its folder holds a project now."""
        return _holds_project(self.folder)


class _ProjectList(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    projects: tuple[KnownProject, ...]


_Change = Callable[[Sequence[KnownProject]], Sequence[KnownProject]]


@dataclass(frozen=True, slots=True)
class Reference:
    """What was given for a project, and the folder that it stands for as a path.

    Attributes:
        text: As it was given.
        path: The absolute path; None if it is a relative one and there is no folder to begin in.
    """

    text: str
    path: Path | None


def looks_like_path(text: str) -> bool:
    """Return whether a text is a path from the root, `~`, `.` or `..`, and so no name."""
    return any(_PATH.match(form) for form in (text, shown_name(name_to_store(text))))


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - unlike Path.exists it raises nothing


def _holds_project(folder: Path) -> bool:
    with suppress(OSError):
        return (folder / PROJECT_FILE).is_file()
    return False


class KnownProjects:
    """The projects that this person has opened; kept in the per-user home."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._open: dict[Path, ProjectStore] = {}

    def listed(self) -> tuple[KnownProject, ...]:
        """Return all of them, the oldest first; none if the list is damaged."""
        return self._read() or ()

    def damage(self) -> str:
        """Return a sentence about a list that cannot be read, "" if none was."""
        if self._read() is None:
            return (
                f"The list of known projects, {self._file}, is damaged and is kept aside when the "
                "next project is opened by the path of its folder."
            )
        aside = sorted(self._file.parent.glob(f"{self._file.stem}.damaged-*"))
        return f"A damaged list of known projects was kept as {aside[-1]}." if aside else ""

    def find(self, reference: Reference) -> Path:
        """Return the folder that a reference means.

        Raises:
            UnknownProject: No project has this name, and no folder this path.
            MissingProject: The folder that it means is not there any more.
            AmbiguousProject: Two projects have this name.
        """
        if looks_like_path(reference.text):
            return self._at_path(reference)
        named = [one for one in self.listed() if _same_name(one.name, reference.text)]
        there = [one for one in named if one.is_there]
        below = reference.path
        if chosen := [one for one in there if one.keeps_name]:
            there, below = chosen[-1:], None
        folders = [one.folder for one in there]
        if below is not None and _holds_project(below) and below not in _resolved(folders):
            folders.append(below)
        match folders:
            case [folder]:
                return folder
            case []:
                if named and not (below and _exists(below)):
                    raise MissingProject(reference.text, named[-1].folder)
                return self._at_path(reference)
            case _:
                raise AmbiguousProject(reference.text, folders)

    def _at_path(self, reference: Reference) -> Path:
        path = reference.path
        if path is not None and path.name == PROJECT_FILE:
            path = path.parent
        if path is not None and _exists(path):
            return path
        for one in self.listed():
            if one.folder == path:
                raise MissingProject(one.name, one.folder)
        names = dict.fromkeys(one.name for one in self.listed() if one.is_there)
        raise UnknownProject(reference.text, list(names), self.damage())

    async def name_problem(self, store: ProjectStore) -> str | None:
        """Return a sentence if a project's name does not mean it."""
        name = store.project.name
        if looks_like_path(name):
            return f"Its name looks like a path, so give its folder instead: {store.folder}."
        try:
            await anyio.to_thread.run_sync(self.find, Reference(name, None))
        except AmbiguousProject as error:
            return str(error)
        except UnknownProject:
            return None
        return None

    def remember(self, store: ProjectStore) -> None:
        """Keep the project's folder and name for the next time.

        Raises:
            OSError: The disk refused.
        """
        name, folder = store.project.name, store.folder
        if looks_like_path(name) or any(
            (one.name, one.folder) == (name, folder) for one in self.listed()
        ):
            return

        def add(projects: Sequence[KnownProject]) -> Sequence[KnownProject]:
            own = KnownProject(name=name, folder=folder)
            if any(one.folder == folder for one in projects):  # it was renamed
                return [own if one.folder == folder else one for one in projects]
            return [*projects, own]

        self._write(add)

    def keep_name(self, folder: Path) -> str:
        """Let a name mean the project in this folder. Only a person's door calls this.

        Returns:
            The name.

        Raises:
            UnknownProject: No known project lies there.
            OSError: The disk refused.
        """
        own = self._listed_at(folder)

        def choose(projects: Sequence[KnownProject]) -> Sequence[KnownProject]:
            return [
                one.model_copy(update={"keeps_name": one.folder == own.folder})
                if _same_name(one.name, own.name)
                else one
                for one in projects
            ]

        self._write(choose)
        return own.name

    def forget(self, folder: Path) -> str:
        """Know a project no longer; its folder is left as it is. Only a person's door calls this.

        Returns:
            The name that it was known by.

        Raises:
            UnknownProject: No known project lies there.
            OSError: The disk refused.
        """
        own = self._listed_at(folder)
        self._write(lambda projects: [one for one in projects if one.folder != own.folder])
        return own.name

    def _listed_at(self, folder: Path) -> KnownProject:
        for one in self.listed():
            if folder in {one.folder, one.folder.resolve()}:
                return one
        raise UnknownProject(str(folder), [str(one.folder) for one in self.listed()])

    def _read(self) -> tuple[KnownProject, ...] | None:
        """Return what is listed; None if the list is damaged."""
        try:
            return _ProjectList.model_validate_json(self._file.read_bytes()).projects
        except FileNotFoundError:
            return ()
        except ValidationError:
            return None

    def _write(self, change: _Change) -> None:
        prepare_home(self._file.parent)
        lock = self._file.with_name(f"{self._file.name}.lock")
        with FileLock(lock, timeout=_LOCK_WAIT_S):
            projects = self._read()
            if projects is None:
                aside = f"{self._file.stem}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.json"
                self._file.rename(self._file.with_name(aside))
                projects = ()
            changed = _ProjectList(projects=tuple(change(projects)))
            write_private(self._file, changed.model_dump_json(indent=2).encode())

    async def open(self, folder: Path, home: Path) -> ProjectStore:
        """Return the open store of a folder; one store a folder and process."""
        if folder not in self._open:
            self._open[folder] = await ProjectStore.open(folder, home=home)
            await anyio.to_thread.run_sync(self.remember, self._open[folder])
        return self._open[folder]

    async def close(self) -> None:
        """Close every open store."""
        for store in self._open.values():
            await store.close()
        self._open.clear()


def _same_name(one: str, other: str) -> bool:
    return folded_name(one) == folded_name(other)


def _resolved(folders: Sequence[Path]) -> set[Path]:
    return {*folders, *(folder.resolve() for folder in folders)}
