"""A project on disk: read, find, save and take away its records.

The files are the truth. A record remembers the file and the bytes it was read from; a save that
finds other bytes there refuses, and a save that changes nothing writes nothing. An index, kept
outside of the project, answers what would take reading many files.
"""

import hashlib
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio
import anyio.to_thread

from storage.attachments import FileToCopy, attached_file, files_beside
from storage.changes import Change, new_text
from storage.commits import CommitLog, Edit, Move
from storage.errors import (
    AmbiguousName,
    CorruptRecord,
    NotAProject,
    ProjectExists,
    RecordNotFound,
    UnreadableRecord,
)
from storage.files import write_atomically
from storage.index.building import Refreshed
from storage.index.keeper import IndexKeeper
from storage.index.queries import Order, RunQuery, ScoreCell
from storage.layout import PROJECT_FILE, folder_of, place_of
from storage.names import close_names, shown_name
from storage.reading import read_record
from storage.records import Attachment, Eval, Project, Record, Task, TaskRun
from storage.records.record import login_name
from storage.returning import put_back
from storage.trash import Trashed, empty_trash, keep_out_of_git, list_trash

R = TypeVar("R", bound=Record)
T = TypeVar("T")


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
        total: How many there are in all, or at least that many.
        total_is_exact: Which of the two; beyond a thousand not all are counted.
        next_cursor: What to ask the next page with; None at the end.
    """

    records: tuple[R, ...]
    total: int
    total_is_exact: bool
    next_cursor: str | None


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
        self._index = IndexKeeper(folder, state / "index.sqlite")
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
            store.project = await store._read_project()
        return store

    @classmethod
    async def create(cls, folder: Path, project: Project, *, home: Path | None = None) -> Self:
        """Make a new project in a folder.

        Raises:
            ProjectExists: One is there already.
        """
        if await anyio.Path(folder / PROJECT_FILE).exists():
            raise ProjectExists(folder)
        content = new_text(project)
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
        await self._index.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def problems(self) -> tuple[RecordProblem, ...]:
        """The files that could not be used so far."""
        return tuple(self._problems.values())

    def side_folder(self, record: Record) -> Path:
        """Return the folder of a saved record, for files that lie beside it."""
        return self.folder / folder_of(record.saved.path)

    def attached_file(self, record: Record, attachment: Attachment) -> Path:
        """Return where a file is that lies beside its saved record.

        Raises:
            UnsafePath: It would lie outside of the record's folder, also through a link.
            RecordNotFound: It is not there.
        """
        return attached_file(self.folder, record, attachment)

    # ------------------------------------------------------------ one by one, from the files

    async def children(self, parent: Record, kind: type[R]) -> list[R]:
        """Return the records of a kind below a parent, the oldest first."""
        return await anyio.to_thread.run_sync(self._children, parent, kind)

    async def get(self, kind: type[R], record_id: str, *, parent: Record | None = None) -> R:
        """Return a record by id, wherever in the project or below a parent.

        Raises:
            RecordNotFound: None has this id.
            CorruptRecord: The one in the folder of this id cannot be used.
        """
        record = await self._get(kind, record_id, parent)
        if record is None and await self._index.look_again():
            record = await self._get(kind, record_id, parent)
        if record is None:
            await self._raise_for_unreadable(kind, record_id)
            raise RecordNotFound(kind.type_name(), record_id)
        return record

    async def _get(self, kind: type[R], record_id: str, parent: Record | None) -> R | None:
        reader = await self._index.reader()
        below = f"{folder_of(parent.saved.path)}/" if parent else ""
        prefix = "" if below == "./" else below
        for path in await reader.by_id(kind.type_name(), record_id):
            record = await anyio.to_thread.run_sync(self._read, kind, self.folder / path)
            if record is not None and path.startswith(prefix):
                return record
        return None

    async def _raise_for_unreadable(self, kind: type[Record], record_id: str) -> None:
        for problem in [*await self.unreadable(), *self.problems]:
            file = PurePosixPath(problem.path)
            own_id = file.parent.name.partition(" - ")[0]
            if own_id == record_id and file.name == place_of(kind).file_name:
                raise CorruptRecord(problem.path, problem.reason)

    async def find(self, kind: type[R], reference: str, *, parent: Record) -> R:
        """Return a record by id or by name, whatever the case of its letters.

        Raises:
            RecordNotFound: None has this id or name.
            AmbiguousName: Several have this name.
        """
        reader = await self._index.reader()
        known = await reader.names(parent.saved.path, kind.type_name())
        wanted = shown_name(reference.strip()).casefold()
        found = [row for row in known if row[1] == reference.strip()] or [
            row for row in known if row[3] == wanted and wanted
        ]
        if not found:
            close = close_names(reference, [row[2] for row in known if row[2]])
            raise RecordNotFound(kind.type_name(), reference, close)
        if len(ids := sorted({row[1] for row in found})) > 1:
            raise AmbiguousName(kind.type_name(), reference, ids)
        path = min((row[0] for row in found), key=lambda path: (len(path), path))
        record = await anyio.to_thread.run_sync(self._read, kind, self.folder / path)
        if record is None:
            raise RecordNotFound(kind.type_name(), reference)
        return record

    # ------------------------------------------------------------ many, from the index

    async def refresh(self) -> Refreshed:
        """Look for changes that were made elsewhere: by other programs, by git, by hand."""
        return await self._index.refresh()

    async def counts(self, parent: Record) -> dict[str, int]:
        """Return how many records of each kind lie directly below a parent."""
        return await (await self._index.reader()).counts(parent.saved.path)

    async def tags(self, task: Task) -> dict[str, int]:
        """Return how many runs of a task have each tag, the commonest first."""
        return await (await self._index.reader()).tags(task.saved.path)

    async def count_runs(self, task: Task, query: RunQuery) -> int:
        """Return how many runs of a task are meant."""
        return await (await self._index.reader()).count_runs(task.saved.path, query)

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
        reader = await self._index.reader()
        parent = task.saved.path
        page = await reader.run_page(parent, query, order, limit, cursor)
        files = [self.folder / path for path in page.paths]
        runs = await anyio.to_thread.run_sync(lambda: [self._read(TaskRun, f) for f in files])
        found = tuple(run for run in runs if run is not None)
        return Page(found, page.total, page.total_is_exact, page.next_cursor)

    async def page_of(
        self, kind: type[R], *, text: str = "", limit: int = 20, cursor: str | None = None
    ) -> Page[R]:
        """Return some of the records of a kind, wherever in the project, the newest first.

        Args:
            kind: Their kind.
            text: Part of their names, in any case of letters; "" for all.
            limit: How many at most.
            cursor: `next_cursor` of the page before.

        Raises:
            InvalidQuery: The cursor is none.
        """
        reader = await self._index.reader()
        page = await reader.page_of(kind.type_name(), shown_name(text.strip()), limit, cursor)
        files = [self.folder / path for path in page.paths]
        records = await anyio.to_thread.run_sync(lambda: [self._read(kind, f) for f in files])
        found = tuple(record for record in records if record is not None)
        return Page(found, page.total, page.total_is_exact, page.next_cursor)

    async def score_table(self, measured: Eval) -> list[ScoreCell]:
        """Return every judge's mean score of every run config on an eval."""
        reader = await self._index.reader()
        return await reader.score_table(str(folder_of(measured.saved.path)))

    async def unreadable(self) -> list[RecordProblem]:
        """Return every file of the project that cannot be used, and why."""
        return [RecordProblem(*row) for row in await (await self._index.reader()).problems()]

    async def repeated(self) -> list[RecordProblem]:
        """Return the records whose id another one has, such as copies made in a file manager.

        Named by their id, the one with the shortest path is meant; all are listed and counted.
        Of a copied folder only its topmost record is told.
        """
        found: list[RecordProblem] = []
        for first, *copies in await (await self._index.reader()).repeated():
            reason = (
                f"it has the same id as {first}, which is the one that its id means. Move one of "
                "the two folders out of the project, or give one an id of its own, 12 digits "
                "that nothing else has"
            )
            found += [RecordProblem(path, reason) for path in copies]
        return found

    async def changes_elsewhere(self) -> int:
        """Return a number that differs from the last one when another process has saved."""
        return await (await self._index.reader()).data_version()

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
        change = Change(self.folder)
        yield change
        await self.write(change.edits, change.moves, change.files)

    async def trash(self) -> list[Trashed]:
        """Return what is in the trash, the latest first."""
        return await anyio.to_thread.run_sync(list_trash, self.folder)

    async def put_back(self, key: str) -> Trashed:
        """Put what is in the trash back where it was.

        Raises:
            RecordNotFound: Nothing of this key is in the trash.
            ParentNotThere: What it lay below is not there.
            ThereAgain: It is there again already.
        """
        found = await self.alone(lambda log: put_back(self.folder, log, key))
        self._index.doubt()
        await self._index.note([])
        return found

    async def empty_trash(self) -> int:
        """Take away for good what is in the trash; return how many records that were."""
        return await anyio.to_thread.run_sync(empty_trash, self.folder)

    async def write(
        self, edits: list[Edit], moves: list[Move], files: Sequence[FileToCopy] = ()
    ) -> None:
        """Change files of the project as they are told, all or none.

        Args:
            edits: Files that get a new content.
            moves: Folders that go elsewhere.
            files: Files of a person that are copied in first.

        Raises:
            StaleRevision: A file is not as expected any more.
            WriteFailed: The disk refused; nothing was changed.
        """
        if not edits and not moves:
            return
        if moves:
            await anyio.to_thread.run_sync(keep_out_of_git, self.folder)

        def put() -> None:
            with files_beside(self.folder, files):
                self._log.commit(edits, moves)

        await anyio.to_thread.run_sync(put)
        touched = [edit.path for edit in edits]
        if PROJECT_FILE in touched:
            self.project = await self._read_project()
        if moves:
            self._index.doubt()
        await self._index.note(touched)

    async def alone(self, work: Callable[[CommitLog], T]) -> T:
        """Do blocking work in a thread while all other writers of the project are kept out.

        Args:
            work: Gets the log to commit its changes to.
        """

        def locked() -> T:
            with self._log.alone():
                return work(self._log)

        return await anyio.to_thread.run_sync(locked)

    async def reload(self) -> None:
        """Read the project's own record again and look for changes in all others."""
        self.project = await self._read_project()
        self._index.doubt()

    async def _read_project(self) -> Project:
        content = await anyio.Path(self.folder / PROJECT_FILE).read_bytes()
        return read_record(Project, content, PROJECT_FILE)

    @property
    def person(self) -> str:
        """Who is at work."""
        return login_name()

    def _children(self, parent: Record, kind: type[R]) -> list[R]:
        place = place_of(kind)
        folder = self.folder / folder_of(parent.saved.path) / place.folder
        if self._is_linked(folder):
            return []
        found = [
            record
            for file in sorted(folder.glob(f"*/{place.file_name}"))
            if (record := self._read(kind, file)) is not None
        ]
        return sorted(found, key=lambda record: (record.created_at, record.id))

    def _is_linked(self, place: Path) -> bool:
        """Whether a link leads to a place in the project; noted, and never followed."""
        for part in [place, *place.parents]:
            if part == self.folder:
                return False
            if part.is_symlink():
                path = part.relative_to(self.folder).as_posix()
                self._problems[path] = RecordProblem(path, "it is a link, and none is followed")
                return True
        return True

    def _read(self, kind: type[R], file: Path) -> R | None:
        path = file.relative_to(self.folder).as_posix()
        if file.is_symlink() or file.parent.is_symlink():
            self._problems[path] = RecordProblem(path, "it is a link, and none is followed")
            return None
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
