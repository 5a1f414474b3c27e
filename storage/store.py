"""A project on disk: read, find, save and delete its records.

The files are the truth. A record remembers the file and the bytes it was read from. A save over
other bytes is refused, and a save that changes nothing writes nothing. An index outside of the
project answers queries that would read many files.
"""

import hashlib
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio
import anyio.to_thread

from storage.atomic_write import write_atomically
from storage.border import Reach, check_target
from storage.changes import Change
from storage.commits.attachments import FileToCopy, files_beside
from storage.commits.claims import hold_claims
from storage.commits.commit_log import CommitLog, FileEdit, Move
from storage.commits.group_commit import GroupCommit
from storage.commits.locks import LONGEST_WAIT_S
from storage.commits.presence import check_presence
from storage.commits.restoration import restore
from storage.commits.steps import ChangeRequest
from storage.commits.trash import TrashEntry, empty_trash, keep_out_of_git, list_trash
from storage.errors import ProjectBusy, Refusal
from storage.format.layout import PROJECT_FILE
from storage.format.validation import Ancestors
from storage.git.attributes import write_attributes
from storage.index.scan import WrittenFile
from storage.new_records import new_text
from storage.project_reader import ProjectReader
from storage.record_files import read_project
from storage.records import EvalRun, Project, Record, TaskRun
from storage.records.record import login_name

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class ProjectStore(ProjectReader):
    """One project folder.

    Attributes:
        folder: The folder that holds project.kiln.
        project: The project's own record.
        state_folder: What the home keeps of this project on this machine.
    """

    def __init__(
        self, folder: Path, project: Project, state: Path, longest_wait_s: float = LONGEST_WAIT_S
    ) -> None:
        super().__init__(folder, project, state / "index.sqlite")
        self.state_folder = state
        self._log = CommitLog(folder, state, longest_wait_s)
        self._ancestors = Ancestors(folder)
        self._queue = GroupCommit(self._log, self._take_in)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    async def open(
        cls, folder: Path, *, home: Path | None = None, longest_wait_s: float = LONGEST_WAIT_S
    ) -> Self:
        """Open the project in a folder, and finish what a process that died had begun.

        Args:
            folder: The folder that holds project.kiln.
            home: The per-user home, where index and lock are kept; None to keep them in
                a temporary folder, for this store alone.
            longest_wait_s: How long a save waits for other writers, unless it is patient.

        Raises:
            StorageError: The folder holds no project.kiln.
            UnreadableRecord: Its project.kiln cannot be used, or a newer program wrote it.
            WriteError: The home cannot be written.
        """
        absolute = Path(await anyio.Path(folder).resolve())
        project = await anyio.to_thread.run_sync(read_project, absolute)
        temporary = None if home else tempfile.TemporaryDirectory(prefix="kiln-mcp-")
        state = _state_folder(home, absolute) if home else Path(temporary.name if temporary else "")
        store = await anyio.to_thread.run_sync(cls, absolute, project, state, longest_wait_s)
        store._temporary = temporary
        if await anyio.to_thread.run_sync(store._log.recover):
            store.project = await anyio.to_thread.run_sync(read_project, absolute)
        return store

    @classmethod
    async def create(cls, folder: Path, project: Project, *, home: Path | None = None) -> Self:
        """Make a new project in a folder.

        Raises:
            Refusal: One is there already.
            UnsafePath: It would lie in git's own folder.
        """
        await anyio.to_thread.run_sync(check_target, folder / PROJECT_FILE)
        if await anyio.Path(folder / PROJECT_FILE).exists():
            raise Refusal(
                "{folder} holds a project already. Open it, or choose another folder.",
                folder=folder,
            )
        content = new_text(project)
        await anyio.to_thread.run_sync(write_atomically, folder / PROJECT_FILE, content)
        await anyio.to_thread.run_sync(write_attributes, folder)
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
        """Close the project and end the thread of its index."""
        await self._index.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    async def save(self, record: R, *, parent: Record | None = None, is_patient: bool = False) -> R:
        """Save a new record below its parent, or a changed one where it was read.

        Args:
            record: The record.
            parent: What a new one is saved below.
            is_patient: Whether to wait for other writers for as long as it takes, because the
                record is paid for.

        Raises:
            StaleRevision: Somebody changed the file since the record was read, or took away what
                it lies below.
            WriteError: The disk refused; nothing was changed.
        """
        async with self.transaction(is_patient=is_patient) as change:
            return change.save(record, parent)

    async def save_each(
        self, records: Sequence[tuple[TaskRun | EvalRun, Record]], *, is_patient: bool = False
    ) -> list[Exception | None]:
        """Save new records below their parents, each whole or not at all.

        They take one hop to a thread, and no task each, unlike as many calls of `save`.

        Args:
            records: Each record with its parent.
            is_patient: Whether to wait for other writers for as long as it takes, because the
                records are paid for.

        Returns:
            For each record None, or the error that refused it; see `save`.
        """
        changes = await anyio.to_thread.run_sync(self._changes, records)
        requests = [change for change in changes if isinstance(change, ChangeRequest)]
        errors = iter(await self._queue.commit_each(requests, is_patient=is_patient))
        return [next(errors) if isinstance(item, ChangeRequest) else item for item in changes]

    def _changes(
        self, records: Sequence[tuple[TaskRun | EvalRun, Record]]
    ) -> list[ChangeRequest | Exception]:
        """Return the change that saves each record, or the error that refuses it. Blocks."""
        changes: list[ChangeRequest | Exception] = []
        for record, parent in records:
            change = Change(self.folder, self._ancestors)
            try:
                change.save(record, parent)
                change.check()
            except Exception as error:  # noqa: BLE001 - it is returned for this record
                changes.append(error)
            else:
                changes.append(ChangeRequest(change.edits))
        return changes

    async def delete(self, record: Record) -> TrashEntry:
        """Put a record into the trash, with all below it.

        Raises:
            StorageError: It is not there any more.
        """
        async with self.transaction() as change:
            return change.delete(record)

    @asynccontextmanager
    async def transaction(self, *, is_patient: bool = False) -> AsyncGenerator[Change]:
        """Collect changes and make them all, or none, when the block ends without an error.

        Args:
            is_patient: Whether to wait for other writers for as long as it takes, because what
                is saved is paid for.
        """
        change = self.new_change()
        yield change
        await self.make(change, is_patient=is_patient)

    def new_change(self) -> Change:
        """Return an empty change, for `make`; `transaction` does both."""
        return Change(self.folder, self._ancestors)

    async def make(
        self, change: Change, *, is_patient: bool = False, may_lag: bool = False
    ) -> None:
        """Make a change, whole or not at all; see `transaction`.

        Args:
            change: The change.
            is_patient: Whether to wait for other writers for as long as it takes.
            may_lag: Whether the index may learn of it later, by `catch_up` or when it is asked.
                The files are on the disk all the same.
        """
        if change.needs_check:
            await anyio.to_thread.run_sync(change.check)
        if may_lag and change.edits and not change.moves and not change.files:
            request = ChangeRequest(change.edits)
            await self._queue.commit(request, is_patient=is_patient, may_lag=True)
            return
        await self.write(change.edits, change.moves, change.files, is_patient=is_patient)

    async def catch_up(self) -> None:
        """Let the index take in what it may learn later."""
        await self._index.catch_up()

    async def trash(self) -> list[TrashEntry]:
        """Return what is in the trash, the latest first."""
        return await anyio.to_thread.run_sync(list_trash, self.folder)

    async def restore(self, key: str) -> TrashEntry:
        """Restore a record from the trash to its place.

        Raises:
            RecordNotFound: Nothing of this key is in the trash.
            Refusal: What it lay below is not there, or it is there again already.
        """
        entry = await self.run_exclusive(lambda log: restore(self.folder, log, key))
        await self._index.note((), (entry.folder,))
        return entry

    async def empty_trash(self) -> int:
        """Remove all records in the trash for good; return how many."""
        return await self.run_exclusive(lambda _: empty_trash(self.folder))

    async def write(
        self,
        edits: list[FileEdit],
        moves: list[Move],
        files: Sequence[FileToCopy] = (),
        *,
        reach: Reach = Reach.RECORDS,
        is_patient: bool = False,
    ) -> None:
        """Write files and move folders of the project, all or none.

        Args:
            edits: Files that get a new content.
            moves: Folders that go elsewhere.
            files: Files of a person that are copied in first.
            reach: Which files of the project may be touched.
            is_patient: Whether to wait for other writers for as long as it takes, because what
                is written is paid for.

        Raises:
            StaleRevision: A file is not as expected any more.
            UnsafePath: A path is not to be touched, or leads through a link.
            WriteError: The disk refused; nothing was changed.
        """
        if not edits and not moves:
            return
        if moves or files:
            change = ChangeRequest(edits, moves, reach)
            await self._write_with_folders(change, files, is_patient=is_patient)
        else:
            await self._queue.commit(ChangeRequest(edits, (), reach), is_patient=is_patient)

    async def _write_with_folders(
        self, change: ChangeRequest, files: Sequence[FileToCopy], *, is_patient: bool
    ) -> None:
        """Make a change that moves folders or copies files in."""

        def write_files() -> None:
            # What comes before the commit makes folders.
            check_presence(self.folder, change.edits, change.moves)
            if change.moves:
                keep_out_of_git(self.folder)
            with files_beside(self.folder, files):
                self._log.commit(change.edits, change.moves, reach=change.reach)

        while True:
            try:
                await anyio.to_thread.run_sync(write_files)
                break
            except ProjectBusy:
                if not is_patient:
                    raise
        move_paths = [path for move in change.moves for path in (move.source, move.target)]
        await self._take_in([WrittenFile(edit.path) for edit in change.edits], move_paths)

    async def _take_in(
        self,
        files: Sequence[WrittenFile],
        move_paths: Sequence[str] = (),
        *,
        may_lag: bool = False,
    ) -> None:
        """Let this store know what it has written itself."""
        if any(file.path == PROJECT_FILE for file in files):
            self.project = await anyio.to_thread.run_sync(read_project, self.folder)
        if may_lag:
            self._index.put_off(files)
        else:
            await self._index.note(files, move_paths)

    async def run_exclusive(self, work: Callable[[CommitLog], T]) -> T:
        """Run blocking work in a thread while no other writer of the project can write.

        Args:
            work: Gets the log to commit its changes to.
        """

        def work_alone() -> T:
            with self._log.exclusive():
                return work(self._log)

        return await anyio.to_thread.run_sync(work_alone)

    @asynccontextmanager
    async def claims(self, keys: Iterable[str]) -> AsyncGenerator[frozenset[str]]:
        """Claim work of the project, so that no other process of any home does it too.

        Args:
            keys: What is to be claimed; the same text means the same work to everybody.

        Yields:
            Those that nobody else has claimed: they are this caller's until the block ends.

        Raises:
            WriteError: The project cannot be written.
        """
        with ExitStack() as stack:
            yield await anyio.to_thread.run_sync(
                stack.enter_context, hold_claims(self.folder, keys)
            )

    async def check_room(self, size: int, *, below: Record | None = None) -> None:
        """Refuse work whose results could not be saved, before it starts.

        Args:
            size: What is to be saved, in bytes.
            below: The record that it is saved below; None for the project.

        Raises:
            WriteError: The project is read-only, or its disk has too little space.
        """
        folder = self.side_folder(below) if below else self.folder
        await anyio.to_thread.run_sync(self._log.check_room, folder, size)

    async def reload(self) -> None:
        """Read the project's own record again and look for changes in all others."""
        self.project = await anyio.to_thread.run_sync(read_project, self.folder)
        self._index.doubt()

    @property
    def person(self) -> str:
        """The name of the person who uses this store."""
        return login_name()


def _state_folder(home: Path, project: Path) -> Path:
    digest = hashlib.blake2b(str(project).encode(), digest_size=10).hexdigest()
    return home / "projects" / digest
