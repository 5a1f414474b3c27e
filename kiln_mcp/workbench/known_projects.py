"""The projects that this person has opened, and what a reference to a project means.

A path from the root, `~`, `.` or `..` always means that path. Any other reference is a name, or a
folder below the one that the process was started in.

Names come from the projects themselves, so a foreign project can have any name. A name that looks
like a path is not kept. A name of two projects means neither until the person chooses one.

`projects.json` in the home lists each folder once, the oldest first. Processes change it under a
lock.
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

from kiln_mcp.errors import AmbiguousProject, UnknownProject
from kiln_mcp.home import prepare_home, write_private
from storage import ProjectStore
from storage.errors import NextStep
from storage.format.layout import PROJECT_FILE
from storage.records.names import folded_name, name_to_store, shown_name
from storage.text.excerpts import excerpt
from storage.text.suggestions import did_you_mean

_LOCK_WAIT_S: Final = 10.0
_PATH: Final = re.compile(r"[/\\~]|\.{1,2}(?:[/\\]|\Z)|[A-Za-z]:[/\\]")


class KnownProject(BaseModel):
    """A project that was opened once.

    Attributes:
        name: Its name when it was last opened.
        folder: Its folder.
        keeps_name: Whether the person chose it among the projects of its name.
        id: The project's id, by which it is known again in another folder; "" in older lists.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    name: str
    folder: Path
    keeps_name: bool = False
    id: str = ""

    @property
    def exists(self) -> bool:
        """Whether its folder holds a project now."""
        return _holds_project(self.folder)


class _ProjectList(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    projects: tuple[KnownProject, ...]


_Change = Callable[[Sequence[KnownProject]], Sequence[KnownProject]]


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference to a project, as a text and as a path.

    Attributes:
        text: The reference as it arrived.
        path: Its absolute path; None if it is relative and there is no folder to begin in.
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

    def projects(self) -> tuple[KnownProject, ...]:
        """Return all projects of the list, the oldest first; none if the list is damaged."""
        return self._read() or ()

    def damage(self) -> str:
        """Return a sentence about a list that cannot be read, "" if none was."""
        if self._read() is None:
            return (
                f"The list of projects, {self._file}, is damaged. It is kept aside when the "
                "next project is opened by the path of its folder."
            )
        aside = sorted(self._file.parent.glob(f"{self._file.stem}.damaged-*"))
        return f"A damaged list of projects was kept as {aside[-1]}." if aside else ""

    def find(self, reference: Reference) -> Path:
        """Return the folder that a reference means.

        Raises:
            UnknownProject: No project has this name or path, or its folder does not exist: also if
                the person chose it among others of its name.
            AmbiguousProject: Two projects have this name.
        """
        if looks_like_path(reference.text):
            return self._at_path(reference)
        namesakes = [p for p in self.projects() if _same_name(p.name, reference.text)]
        existing = [project for project in namesakes if project.exists]
        below = reference.path
        if owners := [project for project in namesakes if project.keeps_name]:
            if existing and owners[-1] not in existing:
                raise _missing_choice(reference.text, owners[-1].folder, existing)
            existing, below = [owner for owner in owners[-1:] if owner.exists], None
        folders = [project.folder for project in existing]
        if below is not None and _holds_project(below) and below not in _with_targets(folders):
            folders.append(below)
        match folders:
            case [folder]:
                return folder
            case []:
                if namesakes and not (below and _exists(below)):
                    raise _missing(reference.text, namesakes[-1].folder)
                return self._at_path(reference)
            case _:
                raise _ambiguous(reference.text, folders)

    def _at_path(self, reference: Reference) -> Path:
        path = reference.path
        if path is not None and path.name == PROJECT_FILE:
            path = path.parent
        if path is not None and _exists(path):
            return path
        for project in self.projects():
            if project.folder == path:
                raise _missing(project.name, project.folder)
        names = dict.fromkeys(project.name for project in self.projects() if project.exists)
        raise _unknown(reference.text, list(names), self.damage())

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

        A project that was moved takes the place that it had in the list.

        Raises:
            OSError: The disk refused.
        """
        own = KnownProject(name=store.project.name, folder=store.folder, id=store.project.id)
        if looks_like_path(own.name) or any(
            project.model_copy(update={"keeps_name": False}) == own for project in self.projects()
        ):
            return

        def add(projects: Sequence[KnownProject]) -> Sequence[KnownProject]:
            former = next((p for p in projects if p.folder == own.folder), None) or next(
                (p for p in projects if p.id == own.id and not p.exists), None
            )
            if former is None:
                return [*projects, own]
            keeps_name = former.keeps_name and _same_name(former.name, own.name)
            present = own.model_copy(update={"keeps_name": keeps_name})
            return [present if project is former else project for project in projects]

        self._write(add)

    def keep_name(self, folder: Path) -> str:
        """Let a name mean the project in this folder. Only a person's door calls this.

        Returns:
            The name.

        Raises:
            UnknownProject: No project of the list lies there.
            OSError: The disk refused.
        """
        own = self._listed_at(folder)

        def choose(projects: Sequence[KnownProject]) -> Sequence[KnownProject]:
            return [
                project.model_copy(update={"keeps_name": project.folder == own.folder})
                if _same_name(project.name, own.name)
                else project
                for project in projects
            ]

        self._write(choose)
        return own.name

    def forget(self, folder: Path) -> str:
        """Remove a project from the list; its folder stays. Only a person's door calls this.

        Returns:
            The name that it had in the list.

        Raises:
            UnknownProject: No project of the list lies there.
            OSError: The disk refused.
        """
        own = self._listed_at(folder)
        self._write(lambda projects: [p for p in projects if p.folder != own.folder])
        return own.name

    def _listed_at(self, folder: Path) -> KnownProject:
        for project in self.projects():
            if folder in {project.folder, project.folder.resolve()}:
                return project
        raise _unknown(str(folder), [str(project.folder) for project in self.projects()])

    def _read(self) -> tuple[KnownProject, ...] | None:
        """Return the list; None if it is damaged."""
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


def _same_name(first: str, second: str) -> bool:
    return folded_name(first) == folded_name(second)


def _with_targets(folders: Sequence[Path]) -> set[Path]:
    """Return folders with those that their links lead to."""
    return {*folders, *(folder.resolve() for folder in folders)}


def _unknown(reference: str, names: Sequence[str], damage: str = "") -> UnknownProject:
    return UnknownProject(
        "No project '{reference}'.{hint} Projects: {names}.{reason} Give the path of a folder that "
        "holds a project.kiln.",
        reference=reference,
        hint=did_you_mean(reference, names),
        names=names or "none yet",
        reason=f" {damage}" if damage else "",
        next=[NextStep(tool="create_project", reason="create one")],
    )


def _missing(reference: str, folder: Path) -> UnknownProject:
    return UnknownProject(
        "The project '{reference}' is not there any more: its folder was {folder}. If it was "
        "moved, give the path of its new folder. If it was deleted, bring it back from a backup.",
        reference=reference,
        folder=folder,
        next=[NextStep(tool="create_project", reason="copy it from an export with `copy_from`")],
    )


def _missing_choice(
    reference: str, folder: Path, namesakes: Sequence[KnownProject]
) -> UnknownProject:
    return UnknownProject(
        "The project '{reference}' that the person chose is not there any more: its folder was "
        "{folder}. Another project of this name is in {others}, and is not meant. If it was moved, "
        "give the path of its new folder; for the other one give its path. For the name to mean "
        "another one from now on, the person runs in a terminal: kiln-mcp projects --keep-name "
        "FOLDER",
        reference=reference,
        folder=folder,
        others=" and ".join(excerpt(project.folder) for project in namesakes),
    )


def _ambiguous(reference: str, folders: Sequence[Path]) -> AmbiguousProject:
    return AmbiguousProject(
        "'{reference}' may mean any of {count} projects: {places}. Give the path of the one that "
        "is meant. For the name to mean one of them from now on, the person runs in a terminal: "
        "kiln-mcp projects --keep-name FOLDER",
        reference=reference,
        count=len(folders),
        places=" and ".join(excerpt(folder) for folder in folders),
    )
