"""A project on disk: read, find, save and take away its records.

The files are the truth. A record remembers the file and the bytes it was read from; a save that
finds other bytes there refuses, and a save that changes nothing writes nothing. An index, kept
outside of the project, answers what would take reading many files.
"""

import hashlib
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio
import anyio.to_thread
from pydantic import JsonValue

from storage.commits import CommitLog, Edit, Move
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
from storage.index.building import IndexBuilder, Refreshed
from storage.index.queries import IndexReader, Order, RunQuery, ScoreCell
from storage.index.rows import name_of
from storage.json_text import patch_json, write_json
from storage.layout import PROJECT_FILE, folder_of, place_of
from storage.names import close_names, folder_name, shown_name
from storage.reading import read_record, revision_of
from storage.records import Eval, Origin, Project, Record, Task, TaskRun
from storage.records.record import login_name, new_id
from storage.trash import Trashed, empty_trash, find_trashed, keep_out_of_git, list_trash

R = TypeVar("R", bound=Record)
T = TypeVar("T")

_FRESH_S = 2.0
_REFRESH_SHARE = 20.0
"""Looking for changes made elsewhere takes at most a twentieth of the time."""


@dataclass(frozen=True, slots=True)
class RecordProblem:
    """A file that cannot be used.

    Attributes:
        path: Its path within the project.
        reason: What is wrong with it.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some of the records that were asked for.

    Attributes:
        records: This page's.
        total: How many there are in all.
        next_cursor: What to ask the next page with; None at the end.
    """

    records: tuple[R, ...]
    total: int
    next_cursor: str | None


@dataclass(slots=True)
class Change:
    """Several writes that happen all or not at all, when the transaction ends."""

    _store: "ProjectStore"
    edits: list[Edit] = field(default_factory=list[Edit])
    moves: list[Move] = field(default_factory=list[Move])

    def save(self, record: R, parent: Record | None = None) -> R:
        """Note a record to be saved and return it as it will be."""
        saved, edit = self._store.prepare(record, parent)
        if edit is not None:
            self.edits.append(edit)
        return saved

    def delete(self, record: Record) -> Trashed:
        """Note a record to be put into the trash, with all below it."""
        folder = str(folder_of(_origin(record).path))
        label = name_of(record) or record.id
        now = datetime.now(UTC)
        key = f"{now:%Y%m%dT%H%M%S}-{record.id}-{new_id()[:4]}"
        trashed = Trashed(key, record.type_name(), label, folder, now, login_name())
        path, content = trashed.note
        self.edits.append(Edit(path, content, None))
        self.moves.append(Move(folder, trashed.place))
        return trashed


class ProjectStore:
    """One project folder.

    Attributes:
        folder: The folder that holds project.kiln.
        project: The project's own record.
    """

    def __init__(self, folder: Path, project: Project, state: Path) -> None:
        self.folder = folder
        self.project = project
        self._state = state
        self._log = CommitLog(folder, state)
        self._problems: dict[str, RecordProblem] = {}
        self._builder: IndexBuilder | None = None
        self._reader: IndexReader | None = None
        self._turn = anyio.Lock()
        self._stale_at = 0.0
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    async def open(cls, folder: Path, *, home: Path | None = None) -> Self:
        """Open the project in a folder, and finish what a process that died had begun.

        Args:
            folder: The folder that holds project.kiln.
            home: The per-user home, where index, lock and journal are kept; None to keep them in
                a temporary folder, for this store alone.

        Raises:
            NotAProject: The folder holds no project.kiln.
            UnreadableRecord: Its project.kiln cannot be used.
        """
        file = anyio.Path(folder / PROJECT_FILE)
        if not await file.is_file():
            raise NotAProject(folder)
        absolute = Path(await anyio.Path(folder).resolve())
        temporary = None if home else tempfile.TemporaryDirectory(prefix="kiln-mcp-")
        state = _state_folder(home, absolute) if home else Path(temporary.name if temporary else "")
        project = read_record(Project, await file.read_bytes(), PROJECT_FILE)
        store = await anyio.to_thread.run_sync(cls, absolute, project, state)
        store._temporary = temporary
        if await anyio.to_thread.run_sync(store._log.recover):
            store.project = read_record(Project, await file.read_bytes(), PROJECT_FILE)
        return store

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the project; the index's thread ends only then."""
        if self._reader is not None:
            await self._reader.close()
        if self._builder is not None:
            self._builder.close()
        self._reader = self._builder = None
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def problems(self) -> tuple[RecordProblem, ...]:
        """The files that could not be used so far."""
        return tuple(self._problems.values())

    def side_folder(self, record: Record) -> Path:
        """Return the folder of a saved record, for files that lie beside it."""
        return self.folder / folder_of(_origin(record).path)

    # ------------------------------------------------------------ one by one, from the files

    async def children(self, parent: Record, kind: type[R]) -> list[R]:
        """Return the records of a kind below a parent, the oldest first."""
        return await anyio.to_thread.run_sync(self._children, parent, kind)

    async def get(self, kind: type[R], record_id: str, *, parent: Record | None = None) -> R:
        """Return a record by id, wherever in the project or below a parent.

        Raises:
            RecordNotFound: None has this id.
        """
        reader = await self._index()
        below = f"{folder_of(_origin(parent).path)}/" if parent else ""
        prefix = "" if below == "./" else below
        for path in await reader.by_id(kind.type_name(), record_id):
            record = await anyio.to_thread.run_sync(self._read, kind, self.folder / path)
            if record is not None and path.startswith(prefix):
                return record
        raise RecordNotFound(kind.type_name(), record_id)

    async def find(self, kind: type[R], reference: str, *, parent: Record) -> R:
        """Return a record by id or by name, whatever the case of its letters.

        Raises:
            RecordNotFound: None has this id or name.
            AmbiguousName: Several have this name.
        """
        reader = await self._index()
        known = await reader.names(_origin(parent).path, kind.type_name())
        wanted = shown_name(reference.strip()).casefold()
        found = [row for row in known if row[1] == reference.strip()] or [
            row for row in known if row[3] == wanted and wanted
        ]
        if not found:
            close = close_names(reference, [row[2] for row in known if row[2]])
            raise RecordNotFound(kind.type_name(), reference, close)
        if len(found) > 1:
            raise AmbiguousName(kind.type_name(), reference, [row[1] for row in found])
        record = await anyio.to_thread.run_sync(self._read, kind, self.folder / found[0][0])
        if record is None:
            raise RecordNotFound(kind.type_name(), reference)
        return record

    # ------------------------------------------------------------ many, from the index

    async def refresh(self) -> Refreshed:
        """Look for changes that were made elsewhere: by other programs, by git, by hand."""
        async with self._turn:
            return await self._refreshed()

    async def counts(self, parent: Record) -> dict[str, int]:
        """Return how many records of each kind lie directly below a parent."""
        return await (await self._index()).counts(_origin(parent).path)

    async def tags(self, task: Task) -> dict[str, int]:
        """Return how many runs of a task have each tag, the commonest first."""
        return await (await self._index()).tags(_origin(task).path)

    async def count_runs(self, task: Task, query: RunQuery) -> int:
        """Return how many runs of a task are meant."""
        return await (await self._index()).count_runs(_origin(task).path, query)

    async def page_of_runs(
        self,
        task: Task,
        query: RunQuery,
        *,
        order: Order = "newest",
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[TaskRun]:
        """Return some of the runs of a task that are meant.

        Raises:
            InvalidQuery: The filter or the cursor is none.
        """
        reader = await self._index()
        parent = _origin(task).path
        page = await reader.run_page(parent, query, order, limit, cursor)
        total = await reader.count_runs(parent, query)
        files = [self.folder / path for path in page.paths]
        runs = await anyio.to_thread.run_sync(lambda: [self._read(TaskRun, f) for f in files])
        return Page(tuple(run for run in runs if run is not None), total, page.next_cursor)

    async def score_table(self, measured: Eval) -> list[ScoreCell]:
        """Return every judge's mean score of every run config on an eval."""
        reader = await self._index()
        return await reader.score_table(str(folder_of(_origin(measured).path)))

    async def unreadable(self) -> list[RecordProblem]:
        """Return every file of the project that cannot be used, and why."""
        return [RecordProblem(*row) for row in await (await self._index()).problems()]

    async def changes_elsewhere(self) -> int:
        """Return a number that differs from the last one when another process has saved."""
        return await (await self._index()).data_version()

    # ------------------------------------------------------------ writing

    async def save(self, record: R, *, parent: Record | None = None) -> R:
        """Save a new record below its parent, or a changed one where it was read.

        Raises:
            StaleRevision: Somebody changed the file since the record was read.
            WriteFailed: The disk refused; nothing was changed.
        """
        async with self.transaction() as change:
            return change.save(record, parent)

    async def delete(self, record: Record) -> Trashed:
        """Put a record into the trash, with all below it."""
        async with self.transaction() as change:
            return change.delete(record)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Change]:
        """Collect changes and make them all, or none, when the block ends without an error."""
        change = Change(self)
        yield change
        if change.moves:
            await anyio.to_thread.run_sync(keep_out_of_git, self.folder)
        await self._commit(change.edits, change.moves)

    async def trash(self) -> list[Trashed]:
        """Return what is in the trash, the latest first."""
        return await anyio.to_thread.run_sync(list_trash, self.folder)

    async def put_back(self, key: str) -> Trashed:
        """Put what is in the trash back where it was.

        Raises:
            RecordNotFound: Nothing of this key is in the trash.
        """
        found = await anyio.to_thread.run_sync(find_trashed, self.folder, key)
        await self._commit([], [Move(found.place, found.folder)])
        await anyio.to_thread.run_sync(_forget_note, self.folder / found.note[0])
        async with self._turn:
            self._stale_at = 0.0
        return found

    async def empty_trash(self) -> int:
        """Take away for good what is in the trash; return how many records that were."""
        return await anyio.to_thread.run_sync(empty_trash, self.folder)

    def prepare(self, record: R, parent: Record | None) -> tuple[R, Edit | None]:
        """Return a record as it will be when saved, and the edit to make, if any."""
        if record.origin is None:
            path, expected = self._new_path(record, parent), None
            content = _new_text(record)
        else:
            path, expected = record.origin.path, record.origin.revision
            content = self._changed_text(record, record.origin)
        if content is None:
            return record, None
        return record.at(Origin(path, revision_of(content))), Edit(path, content, expected)

    async def _commit(self, edits: list[Edit], moves: list[Move]) -> None:
        if not edits and not moves:
            return
        await anyio.to_thread.run_sync(self._log.commit, edits, moves)
        touched = [edit.path for edit in edits]
        if PROJECT_FILE in touched:
            content = await anyio.Path(self.folder / PROJECT_FILE).read_bytes()
            self.project = read_record(Project, content, PROJECT_FILE)
        if self._builder is None:
            return
        if moves:
            self._stale_at = 0.0
        await self._build(lambda builder: builder.note(touched))

    async def write(self, edits: list[Edit], moves: list[Move]) -> None:
        """Change files of the project as they are told, all or none."""
        if moves:
            await anyio.to_thread.run_sync(keep_out_of_git, self.folder)
        await self._commit(edits, moves)

    async def alone(self, work: Callable[[], T]) -> T:
        """Do blocking work in a thread while all other writers of the project are kept out."""

        def locked() -> T:
            with self._log.alone():
                return work()

        return await anyio.to_thread.run_sync(locked)

    async def reload(self) -> None:
        """Read the project's own record again and look for changes in all others."""
        content = await anyio.Path(self.folder / PROJECT_FILE).read_bytes()
        self.project = read_record(Project, content, PROJECT_FILE)
        if self._builder is not None:
            await self.refresh()

    @property
    def person(self) -> str:
        """Who is at work."""
        return login_name()

    # ------------------------------------------------------------ how

    async def _index(self) -> IndexReader:
        """Return the index, made true where it may not be."""
        async with self._turn:
            if self._reader is None or time.monotonic() >= self._stale_at:
                await self._refreshed()
            if self._reader is None:
                self._reader = await IndexReader.open(self._state / "index.sqlite")
            return self._reader

    async def _refreshed(self) -> Refreshed:
        began = time.monotonic()
        if self._builder is None:
            file = self._state / "index.sqlite"
            self._builder = await anyio.to_thread.run_sync(IndexBuilder, self.folder, file)
        found = await anyio.to_thread.run_sync(self._builder.refresh)
        took = time.monotonic() - began
        self._stale_at = time.monotonic() + max(_FRESH_S, _REFRESH_SHARE * took)
        return found

    async def _build(self, work: Callable[[IndexBuilder], T]) -> T | None:
        async with self._turn:
            if self._builder is None:
                return None
            builder = self._builder
            return await anyio.to_thread.run_sync(lambda: work(builder))

    def _new_path(self, record: Record, parent: Record | None) -> str:
        if parent is None:
            raise InvalidRecord(
                record.type_name(), "a new record needs the parent to save it below"
            )
        place = place_of(type(record))
        if type(parent) not in place.parents:
            allowed = ", ".join(kind.type_name() for kind in place.parents)
            raise InvalidRecord(record.type_name(), f"its parent must be a {allowed}")
        own = folder_name(record.id, name_of(record))
        folder = folder_of(_origin(parent).path) / place.folder / own
        return str(folder / place.file_name)

    def _changed_text(self, record: Record, origin: Origin) -> bytes | None:
        """Return the file's new bytes; None where nothing changes."""
        try:
            held = (self.folder / origin.path).read_bytes()
        except FileNotFoundError as error:
            raise StaleRevision(origin.path, None, None) from error
        if revision_of(held) != origin.revision:
            # The commit, which looks again under the lock, says who and when.
            return _new_text(record)
        known = read_record(type(record), held, origin.path)
        before: dict[str, JsonValue] = known.model_dump(mode="json")
        after: dict[str, JsonValue] = record.model_dump(mode="json")
        content = _encoded(record, lambda: patch_json(held.decode("utf-8"), before, after))
        return None if content == held else content

    def _children(self, parent: Record, kind: type[R]) -> list[R]:
        place = place_of(kind)
        folder = self.folder / folder_of(_origin(parent).path) / place.folder
        found = [
            record
            for file in sorted(folder.glob(f"*/{place.file_name}"))
            if not file.parent.is_symlink() and (record := self._read(kind, file)) is not None
        ]
        return sorted(found, key=lambda record: (record.created_at, record.id))

    def _read(self, kind: type[R], file: Path) -> R | None:
        path = file.relative_to(self.folder).as_posix()
        try:
            record = read_record(kind, file.read_bytes(), path)
        except UnreadableRecord as error:
            self._problems[path] = RecordProblem(path, error.reason)
            return None
        except FileNotFoundError:
            return None
        except OSError as error:
            self._problems[path] = RecordProblem(path, error.strerror or str(error))
            return None
        self._problems.pop(path, None)
        return record


def _state_folder(home: Path, project: Path) -> Path:
    digest = hashlib.blake2b(str(project).encode(), digest_size=10).hexdigest()
    return home / "projects" / digest


def _origin(record: Record) -> Origin:
    if record.origin is None:
        raise InvalidRecord(record.type_name(), "it was never saved to a project")
    return record.origin


def _new_text(record: Record) -> bytes:
    data: dict[str, JsonValue] = record.model_dump(mode="json")
    return _encoded(record, lambda: write_json(data))


def _encoded(record: Record, text: Callable[[], str]) -> bytes:
    """Return a record's text as bytes.

    Raises:
        InvalidRecord: It has a number that JSON cannot hold, or half a character.
    """
    try:
        return text().encode("utf-8")
    except ValueError as error:
        raise InvalidRecord(record.type_name(), str(error)) from error


def _forget_note(note: Path) -> None:
    note.unlink(missing_ok=True)
    note.parent.rmdir()
