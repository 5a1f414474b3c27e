"""A project on disk: read, find, save and take away its records.

The files are the truth. A record remembers the file and the bytes it was read from; a save that
finds other bytes there refuses, and a save that changes nothing writes nothing.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

import anyio.to_thread
from pydantic import JsonValue

from storage.errors import (
    AmbiguousName,
    InvalidRecord,
    NotAProject,
    ProjectExists,
    RecordNotFound,
    StaleRevision,
    UnreadableRecord,
)
from storage.files import write_atomically
from storage.json_text import patch_json, write_json
from storage.layout import PROJECT_FILE, folder_of, place_of
from storage.names import close_names, folder_name, shown_name
from storage.reading import read_record, revision_of
from storage.records import Origin, Project, Record

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class RecordProblem:
    """A file that cannot be used.

    Attributes:
        path: Its path within the project.
        reason: What is wrong with it.
    """

    path: str
    reason: str


@dataclass(slots=True)
class Change:
    """Several writes that happen all or not at all, when the transaction ends."""

    _store: "ProjectStore"
    _writes: list[tuple[Path, bytes]] = field(default_factory=list[tuple[Path, bytes]])

    def save(self, record: R, parent: Record | None = None) -> R:
        """Note a record to be saved and return it as it will be."""
        saved, content = self._store.prepare(record, parent)
        if content is not None:
            self._writes.append(content)
        return saved

    def write(self) -> None:
        """Write everything; take back what was written when one write fails."""
        before: list[tuple[Path, bytes | None]] = []
        try:
            for path, content in self._writes:
                before.append((path, path.read_bytes() if path.exists() else None))
                write_atomically(path, content)
        except BaseException:
            for path, old in reversed(before):
                if old is None:
                    path.unlink(missing_ok=True)
                else:
                    write_atomically(path, old)
            raise


class ProjectStore:
    """One project folder.

    Attributes:
        folder: The folder that holds project.kiln.
        project: The project's own record.
    """

    def __init__(self, folder: Path, project: Project) -> None:
        self.folder = folder
        self.project = project
        self._problems: dict[str, RecordProblem] = {}

    @classmethod
    async def open(cls, folder: Path, *, home: Path | None = None) -> Self:
        """Open the project in a folder.

        Raises:
            NotAProject: The folder holds no project.kiln.
            UnreadableRecord: Its project.kiln cannot be used.
        """
        file = anyio.Path(folder / PROJECT_FILE)
        if not await file.is_file():
            raise NotAProject(folder)
        content = await file.read_bytes()
        absolute = Path(await anyio.Path(folder).absolute())
        return cls(absolute, read_record(Project, content, PROJECT_FILE))

    @classmethod
    async def create(cls, folder: Path, project: Project, *, home: Path | None = None) -> Self:
        """Make a new project in a folder.

        Raises:
            ProjectExists: One is there already.
        """
        if await anyio.Path(folder / PROJECT_FILE).exists():
            raise ProjectExists(folder)
        content = _new_text(project)
        await anyio.to_thread.run_sync(write_atomically, folder / PROJECT_FILE, content)
        return await cls.open(folder, home=home)

    async def close(self) -> None:
        """Let go of the project."""

    @property
    def problems(self) -> tuple[RecordProblem, ...]:
        """The files that could not be used so far."""
        return tuple(self._problems.values())

    def side_folder(self, record: Record) -> Path:
        """Return the folder of a saved record, for files that lie beside it."""
        return self.folder / folder_of(_origin(record).path)

    async def children(self, parent: Record, kind: type[R]) -> list[R]:
        """Return the records of a kind below a parent, the oldest first."""
        return await anyio.to_thread.run_sync(self._children, parent, kind)

    async def get(self, kind: type[R], record_id: str, *, parent: Record) -> R:
        """Return a record by id.

        Raises:
            RecordNotFound: None has this id.
        """
        for record in await self.children(parent, kind):
            if record.id == record_id:
                return record
        raise RecordNotFound(kind.type_name(), record_id)

    async def find(self, kind: type[R], reference: str, *, parent: Record) -> R:
        """Return a record by id or by name, whatever the case of its letters.

        Raises:
            RecordNotFound: None has this id or name.
            AmbiguousName: Several have this name.
        """
        records = await self.children(parent, kind)
        wanted = shown_name(reference.strip()).casefold()
        by_id = [record for record in records if record.id == reference.strip()]
        found = by_id or [record for record in records if _name_of(record).casefold() == wanted]
        if not found:
            names = filter(None, map(_name_of, records))
            raise RecordNotFound(kind.type_name(), reference, close_names(reference, names))
        if len(found) > 1:
            raise AmbiguousName(kind.type_name(), reference, [record.id for record in found])
        return found[0]

    async def save(self, record: R, *, parent: Record | None = None) -> R:
        """Save a new record below its parent, or a changed one where it was read.

        Raises:
            StaleRevision: Somebody changed the file since the record was read.
            WriteFailed: The disk refused; nothing was changed.
        """
        async with self.transaction() as change:
            saved = change.save(record, parent)
        if isinstance(saved, Project):
            self.project = saved
        return saved

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Change]:
        """Collect changes and write them all, or none, when the block ends without an error."""
        change = Change(self)
        yield change
        await anyio.to_thread.run_sync(change.write)

    def prepare(self, record: R, parent: Record | None) -> tuple[R, tuple[Path, bytes] | None]:
        """Return a record as it will be when saved, and what is to be written, if anything."""
        if record.origin is None:
            path = self._new_path(record, parent)
            content = _new_text(record)
        else:
            path = record.origin.path
            content = self._changed_text(record, record.origin)
        if content is None:
            return record, None
        return record.at(Origin(path, revision_of(content))), (self.folder / path, content)

    def _new_path(self, record: Record, parent: Record | None) -> str:
        if parent is None:
            raise InvalidRecord(
                record.type_name(), "a new record needs the parent to save it below"
            )
        place = place_of(type(record))
        if type(parent) not in place.parents:
            allowed = ", ".join(kind.type_name() for kind in place.parents)
            raise InvalidRecord(record.type_name(), f"its parent must be a {allowed}")
        own = folder_name(record.id, _name_of(record))
        folder = folder_of(_origin(parent).path) / place.folder / own
        return str(folder / place.file_name)

    def _changed_text(self, record: Record, origin: Origin) -> bytes | None:
        """Return the file's new bytes; None where nothing changes."""
        path = self.folder / origin.path
        try:
            held = path.read_bytes()
        except FileNotFoundError as error:
            raise StaleRevision(origin.path, None, None) from error
        if revision_of(held) != origin.revision:
            when = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            raise StaleRevision(origin.path, None, when)
        before = read_record(type(record), held, origin.path).model_dump(mode="json")
        after: dict[str, JsonValue] = record.model_dump(mode="json")
        changes = {k: v for k, v in after.items() if k not in before or before[k] != v}
        if not changes:
            return None
        return patch_json(held.decode("utf-8"), changes, "model_type").encode("utf-8")

    def _children(self, parent: Record, kind: type[R]) -> list[R]:
        place = place_of(kind)
        folder = self.folder / folder_of(_origin(parent).path) / place.folder
        found = [
            record
            for file in sorted(folder.glob(f"*/{place.file_name}"))
            if (record := self._read(kind, file)) is not None
        ]
        return sorted(found, key=lambda record: (record.created_at, record.id))

    def _read(self, kind: type[R], file: Path) -> R | None:
        path = file.relative_to(self.folder).as_posix()
        try:
            record = read_record(kind, file.read_bytes(), path)
        except UnreadableRecord as error:
            self._problems[path] = RecordProblem(path, error.reason)
            return None
        except OSError as error:
            self._problems[path] = RecordProblem(path, error.strerror or str(error))
            return None
        self._problems.pop(path, None)
        return record


def _name_of(record: Record) -> str:
    name = getattr(record, "name", None)
    return name if isinstance(name, str) else ""


def _origin(record: Record) -> Origin:
    if record.origin is None:
        raise InvalidRecord(record.type_name(), "it was never saved to a project")
    return record.origin


def _new_text(record: Record) -> bytes:
    data: dict[str, JsonValue] = record.model_dump(mode="json")
    return write_json(data).encode("utf-8")
