"""Read a project: single records from their files, lists from the index."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar

import anyio.to_thread

from storage.commits.attachments import attached_file
from storage.commits.pending_changes import FOREIGN_REASON, list_foreign
from storage.commits.side_files import (
    damaged_lines,
    list_side_files,
    read_side_file,
    side_path,
    whole_lines,
)
from storage.commits.trash import UNWRITTEN_REASON, list_unwritten
from storage.conflict_copies import ConflictCopy, copies_below, folder_copy
from storage.errors import (
    CorruptRecord,
    RecordNotFound,
    UnsafePath,
    system_reason,
)
from storage.format.layout import folder_of, id_in, place_of
from storage.index.keeper import IndexKeeper
from storage.index.queries import IndexReader, Order, RunQuery, ScoreCell, ScoreCount
from storage.index.refresh import ReadListener, RefreshResult
from storage.record_files import RecordFiles, RecordProblem
from storage.records import Attachment, Eval, Project, Record, Task, TaskRun
from storage.records.handles import NameRow, id_in_reference, row_named
from storage.records.names import folded_name
from storage.text.excerpts import excerpts
from storage.text.suggestions import MOST_NAMES

R = TypeVar("R", bound=Record)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """One page of the records of a query.

    Attributes:
        records: This page's.
        total: How many there are in all; at least so many if it is not exact.
        total_is_exact: False if there are more than a thousand, which are not all counted.
        next_cursor: The cursor of the next page; None at the end.
    """

    records: tuple[R, ...]
    total: int
    total_is_exact: bool
    next_cursor: str | None


class ProjectReader:
    """The reading side of a project.

    Attributes:
        folder: The folder that holds project.kiln.
        project: The project's own record.
    """

    def __init__(self, folder: Path, project: Project, index: Path) -> None:
        self.folder = folder
        self.project = project
        self._files = RecordFiles(folder)
        self._index = IndexKeeper(folder, index)

    @property
    def problems(self) -> tuple[RecordProblem, ...]:
        """The files that could not be used so far."""
        return tuple(self._files.problems.values())

    def side_folder(self, record: Record) -> Path:
        """Return the folder of a saved record, for files that lie beside it."""
        return self.folder / folder_of(record.saved.path)

    async def side_lines(self, record: Record, name: str) -> list[str]:
        """Return the lines of a file beside a saved record, but none that was cut off.

        Args:
            record: The record.
            name: The file's name.

        Raises:
            UnsafePath: It is a link, or a link leads to it.
            CorruptRecord: It cannot be read, or is no ordinary file.
        """
        return whole_lines(await self.side_file(record, name) or b"")

    async def side_file(self, record: Record, name: str) -> bytes | None:
        """Return what a file beside a saved record holds; None if it is not there.

        Raises:
            UnsafePath: It is a link, or a link leads to it.
            CorruptRecord: It cannot be read, or is no ordinary file.
        """
        path = side_path(record.saved.path, name)
        try:
            return await anyio.to_thread.run_sync(read_side_file, self.folder, path)
        except OSError as error:
            raise CorruptRecord(path, system_reason(error)) from error

    async def damaged_side_files(self, record: Record) -> list[RecordProblem]:
        """Return the files of lines beside a record that cannot be read, or not all of them."""
        return await anyio.to_thread.run_sync(self._damaged_beside, record.saved.path)

    def _damaged_beside(self, record_path: str) -> list[RecordProblem]:
        problems: list[RecordProblem] = []
        for path in list_side_files(self.folder, record_path):
            try:
                line_numbers = damaged_lines(read_side_file(self.folder, path) or b"")
            except OSError as error:
                problems.append(RecordProblem(path, system_reason(error)))
            except UnsafePath as error:
                problems.append(RecordProblem(path, str(error)))
            else:
                if line_numbers:
                    lines = excerpts(line_numbers, limit=5)
                    reason = f"these lines are no JSON objects and are left out: {lines}"
                    problems.append(RecordProblem(path, reason))
        return problems

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
        return await anyio.to_thread.run_sync(self._files.children, parent, kind)

    async def views(self, parent: Record, kind: type[R], view: Callable[[R], T]) -> list[T]:
        """Return what a function keeps of each of the children; it is called in a thread."""
        return await anyio.to_thread.run_sync(self._files.views, parent, kind, view)

    async def read_all(self, kind: type[R], paths: Iterable[str]) -> dict[str, R]:
        """Return the records of files by their paths, less those that cannot be used."""
        return await anyio.to_thread.run_sync(self._files.read_all, kind, paths)

    async def get(
        self,
        kind: type[R],
        record_id: str,
        *,
        parent: Record | None = None,
        look: bool = True,
    ) -> R:
        """Return a record by id, wherever in the project or below a parent.

        Args:
            kind: Its kind.
            record_id: Its id.
            parent: What it lies below; None for anything.
            look: Whether to look for changes made elsewhere before saying that there is none.

        Raises:
            RecordNotFound: None has this id.
            UnreadableRecord: The one in the folder of this id cannot be used.
        """
        record = await self._get(kind, record_id, parent)
        if record is None and look:
            await self.look_again()
            record = await self._get(kind, record_id, parent)
        if record is None:
            await self._raise_for_unreadable(kind, record_id)
            name = kind.type_name()
            page = await self._index.ask(lambda index: index.page_of(name, "", MOST_NAMES, None))
            ids = [id_in(PurePosixPath(path)) for path in page.paths]
            raise RecordNotFound(name, record_id, ids, count=page.total)
        return record

    async def _get(self, kind: type[R], record_id: str, parent: Record | None) -> R | None:
        paths = await self._index.ask(lambda index: index.by_id(kind.type_name(), record_id))
        below = f"{folder_of(parent.saved.path)}/" if parent else ""
        prefix = "" if below == "./" else below
        for path in paths:
            record = await anyio.to_thread.run_sync(self._files.read, kind, self.folder / path)
            if record is not None and path.startswith(prefix):
                return record
        return None

    async def _raise_for_unreadable(self, kind: type[Record], record_id: str) -> None:
        for problem in await self.unreadable():
            file = PurePosixPath(problem.path)
            if id_in(file) == record_id and file.name == place_of(kind).file_name:
                await anyio.to_thread.run_sync(self._files.check, kind, problem)

    async def find(
        self, kind: type[R], reference: str, *, parent: Record | None = None, look: bool = True
    ) -> R:
        """Return a record by id, name or handle, such as `spec/refunds`; see `records.handles`.

        Args:
            kind: Its kind.
            reference: What a person or model gave.
            parent: What it lies directly below; None for anything.
            look: Whether to look for changes made elsewhere before saying that there is none.

        Raises:
            RecordNotFound: None has this id or name.
            UnreadableRecord: The one of this id cannot be used.
            Refusal: Several have this name.
        """
        try:
            return await self._find(kind, reference, parent)
        except RecordNotFound:
            if not look:
                raise
        await self.look_again()
        return await self._find(kind, reference, parent)

    async def _find(self, kind: type[R], reference: str, parent: Record | None) -> R:
        type_name = kind.type_name()
        record_id = id_in_reference(type_name, reference)
        if "name" not in kind.model_fields:
            return await self.get(kind, record_id, parent=parent, look=False)
        record = await self._get(kind, record_id, parent)
        if record is not None:
            return record
        rows = await self._name_rows(type_name, parent)
        try:
            row = row_named(type_name, reference, rows)
        except RecordNotFound:
            await self._raise_for_unreadable(kind, record_id)
            raise
        record = await anyio.to_thread.run_sync(self._files.read, kind, self.folder / row.path)
        if record is None:
            raise RecordNotFound(type_name, reference)
        return record

    async def _name_rows(self, kind: str, parent: Record | None) -> list[NameRow]:
        above = parent.saved.path if parent else None
        return await self._index.ask(lambda index: index.names(above, kind))

    # ------------------------------------------------------------ many, from the index

    @property
    def is_indexed(self) -> bool:
        """Whether this store has looked at all files already; the first look may take long."""
        return self._index.is_open

    async def refresh(self, listener: ReadListener | None = None) -> RefreshResult:
        """Look for changes that were made elsewhere: by other programs, by git, by hand.

        Args:
            listener: Told in a thread, where many records are read, how many these are so far.
        """
        return await self._index.refresh(listener)

    async def look_again(self) -> None:
        """Look for changes made elsewhere, before a record is reported as missing.

        Many calls in a row share one look, which takes half of the time at most.
        """
        await self._index.look_again()

    async def look_at(self, parent: Record, kind: type[Record]) -> None:
        """Take in records of a kind below a parent that others made or removed until now.

        Args:
            parent: The parent.
            kind: A kind whose records never change.
        """
        await self._index.look_at(parent.saved.path, kind.type_name())

    async def ask(self, question: Callable[[IndexReader], Awaitable[T]]) -> T:
        """Return the answer of the index to a question, such as those of `index.results`."""
        return await self._index.ask(question)

    async def counts(self, parent: Record) -> dict[str, int]:
        """Return how many records of each kind lie directly below a parent."""
        return await self._index.ask(lambda index: index.counts(parent.saved.path))

    async def tags(self, task: Task) -> dict[str, int]:
        """Return how many items of a task have each tag, the commonest first."""
        return await self._index.ask(lambda index: index.tags(task.saved.path))

    async def runs(self, task: Task, *queries: RunQuery) -> list[TaskRun]:
        """Return all runs of a task that any query means, the oldest first; no others are read.

        Args:
            task: The task.
            queries: Which runs.

        Raises:
            InvalidQuery: A filter is none.
        """
        above = task.saved.path

        async def run_paths(index: IndexReader) -> set[str]:
            return {path for query in queries for path in await index.run_paths(above, query)}

        paths = await self._index.ask(run_paths)
        runs = tuple((await self.read_all(TaskRun, paths)).values())
        return sorted(runs, key=lambda run: (run.created_at, run.id))

    async def count_runs(self, task: Task, query: RunQuery) -> int:
        """Return how many runs of a task are meant."""
        return await self._index.ask(lambda index: index.count_runs(task.saved.path, query))

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
        parent = task.saved.path
        page = await self._index.ask(
            lambda index: index.run_page(parent, query, order, limit, cursor)
        )
        runs = tuple((await self.read_all(TaskRun, page.paths)).values())
        return Page(runs, page.total, page.total_is_exact, page.next_cursor)

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
        name, part = kind.type_name(), folded_name(text)
        page = await self._index.ask(lambda index: index.page_of(name, part, limit, cursor))
        records = tuple((await self.read_all(kind, page.paths)).values())
        return Page(records, page.total, page.total_is_exact, page.next_cursor)

    async def score_counts(self, eval_record: Eval) -> list[ScoreCount]:
        """Return how many items every evaluator of an eval has scored, by run config."""
        folder = str(folder_of(eval_record.saved.path))
        return await self._index.ask(lambda index: index.score_counts(folder))

    async def score_table(self, eval_record: Eval) -> list[ScoreCell]:
        """Return every evaluator's mean score of every run config on an eval."""
        folder = str(folder_of(eval_record.saved.path))
        return await self._index.ask(lambda index: index.score_table(folder))

    async def unreadable(self) -> list[RecordProblem]:
        """Return every file of the project that cannot be used, and why; and links, unfollowed."""
        index_problems = await self._index.ask(lambda index: index.problems())
        reasons = {**dict(index_problems), **self._index.skipped_files()}
        problems = {path: RecordProblem(path, reason) for path, reason in reasons.items()}
        read = await anyio.to_thread.run_sync(self._files.problems_now)
        for path in await anyio.to_thread.run_sync(list_unwritten, self.folder):
            problems[path] = RecordProblem(path, UNWRITTEN_REASON)
        for path in await anyio.to_thread.run_sync(list_foreign, self.folder):
            problems[path] = RecordProblem(path, FOREIGN_REASON)
        return sorted({**problems, **read}.values(), key=lambda fault: fault.path)

    async def copies(self) -> list[ConflictCopy]:
        """Return what cloud drives left beside records: it is neither read nor counted."""
        pairs = await self._index.ask(lambda index: index.copies())
        folders = [folder_copy(*pair) for pair in pairs]
        paths = [copy.path for copy in folders]
        files = await anyio.to_thread.run_sync(copies_below, self.folder, paths)
        return sorted([*folders, *files], key=lambda copy: copy.path)

    async def duplicates(self) -> list[RecordProblem]:
        """Return the records whose id another one has that lies elsewhere, below another parent.

        An id means the record with the shortest path; all are listed and counted. Of a copied
        folder only the topmost record is returned. Copies beside their record are `copies`.
        """
        problems: list[RecordProblem] = []
        for first, *copies in await self._index.ask(lambda index: index.duplicates()):
            reason = (
                f"it has the same id as {first}, which is the one that its id means. Move one of "
                "the two folders out of the project, or give one an id of its own, 12 digits "
                "that nothing else has"
            )
            problems += [RecordProblem(path, reason) for path in copies]
        return problems
