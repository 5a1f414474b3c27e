"""Build and refresh the index: the only module that writes it.

The index is derived from the files and disposable. Missing, of an older version or broken, it is
built again. Several processes share it; each keeps to short transactions.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path, PurePosixPath

from storage.format.layout import (
    PROJECT_FILE,
    Place,
    children_of,
    folder_of,
    kind_named,
    place_at,
    place_of,
)
from storage.index import sql
from storage.index.conflict_copies import ConflictCopies
from storage.index.index_file import open_index
from storage.index.record_reader import MANY, ReadResult, RecordReader, read_values
from storage.index.row_writer import ReadFile, RowWriter
from storage.index.rows import RecordValues, values_of
from storage.index.scan import (
    FileState,
    PlainState,
    RecordFile,
    WrittenFile,
    find,
    project_state,
    record_paths,
    states,
)
from storage.index.tag_writer import TaggedFile, TagWriter
from storage.records import Project

ReadListener = Callable[[int], None]
_BATCH = 2000
_BATCHES_IN_ORDER = 25
"""Batches of differences that are sorted together; some 20 MiB."""
_AFTER_ALL = "\U0010ffff"
"""Comes after every path."""


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What a refresh found: how many records are new or changed, and how many were removed."""

    changed: int
    removed: int


@dataclass(frozen=True, slots=True)
class _MissingRecord:
    """A record whose file is not there any more."""

    path: str
    parent: str
    kind: str


@dataclass(frozen=True, slots=True)
class _ReadBatch:
    """A part of what differs, its records read."""

    files: Sequence[ReadFile]
    missing_records: Sequence[_MissingRecord]

    @property
    def size(self) -> int:
        return len(self.files) + len(self.missing_records)


class IndexBuilder:
    """Writes the index of one project. Its methods block: call them in a thread, one at a time.

    Attributes:
        skipped_files: Paths that the last refresh skipped, each with the reason.
    """

    def __init__(
        self, project: Path, file: Path, batch_size: int = _BATCH, read_here: int = MANY
    ) -> None:
        """Open the index.

        Args:
            project: The project's folder.
            file: The index's file.
            batch_size: Records of one transaction.
            read_here: Records that a refresh reads before it starts a process that reads.
        """
        self._project = project
        self._batch_size = batch_size
        self._read_here = read_here
        self._root = str(project)
        self._connection = open_index(file)
        self.skipped_files: dict[str, str] = {}
        self._copies = ConflictCopies(self._connection)
        self._writer = RowWriter(self._connection, self._copies)
        self._retags = TagWriter(self._connection)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def refresh(self, listener: ReadListener | None = None) -> RefreshResult:
        """Compare the index with the files' times and sizes, and read what differs.

        Args:
            listener: Told after each part of much work how many records were read so far.
        """
        self.skipped_files = {}
        self._copies.reload()
        return self._take_in(self._differences(), listener)

    def note(
        self,
        files: Iterable[WrittenFile],
        moved_paths: Iterable[str] = (),
    ) -> None:
        """Index the files that were changed, and look at nothing else.

        Args:
            files: Files that this program has written: those that come without their record are
                read again. If others change one meanwhile, the next refresh tells by its time.
            moved_paths: Files or folders that appeared or went away, to be compared with all below.
        """
        last_files = {file.path: file for file in files}
        with self._transaction():
            retagged_paths = self._retags.store(self._tagged_files(last_files.values()))
            other_files = [file for file in last_files.values() if file.path not in retagged_paths]
            self._writer.store(list(self._read_files(other_files)))
            self._copies.settle()
        self._take_in_former_copies()
        folders = dict.fromkeys(map(_record_folder, moved_paths))
        self._take_in(chain.from_iterable(map(self._differences_in, folders)))

    def _tagged_files(self, files: Iterable[WrittenFile]) -> Iterator[TaggedFile]:
        """Yield the records of which nothing but the tags has changed."""
        for file in files:
            if file.state is not None and file.tag_change is not None:
                record_file = find(self._project, file.path, file.state)
                if record_file is not None:
                    yield TaggedFile(record_file, file.tag_change)

    def _read_files(self, files: Iterable[WrittenFile]) -> Iterator[ReadFile]:
        """Yield the records of files that were written."""
        for file in files:
            is_known = file.state is not None and file.record is not None
            record_file = find(self._project, file.path, file.state if is_known else None)
            if record_file is not None and is_known and file.record is not None:
                record = file.record
                values = record if isinstance(record, RecordValues) else values_of(record)
                yield ReadFile(record_file, values, None)
            elif record_file is not None:
                yield ReadFile(record_file, *self._read(record_file))

    def look_at(self, parent: str, kind: str) -> RefreshResult:
        """Take in the records of a kind below a parent that are new, and forget those gone.

        A file that was there before is not looked at: use it for kinds that never change.
        """
        place = place_of(kind_named(kind))
        folder = "" if parent == PROJECT_FILE else f"{folder_of(parent)}/"
        paths = record_paths(self._project, f"{folder}{place.folder}", place, self.skipped_files)
        key = {"parent": parent, "kind": kind}
        known_paths = {path for (path,) in self._connection.execute(sql.PATHS, key)}
        new_files = (find(self._project, path) for path in paths if path not in known_paths)
        deleted_paths = known_paths.difference(paths)
        differences: list[RecordFile | _MissingRecord] = [file for file in new_files if file]
        differences += [_MissingRecord(path, parent, kind) for path in deleted_paths]
        return self._take_in(iter(differences))

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            self._writer.forget_numbers()
            self._copies.reload()
            raise
        self._connection.execute("COMMIT")

    # ------------------------------------------------------------ what differs

    def _differences(self) -> Iterator[RecordFile | _MissingRecord]:
        """Yield the differences of files and index, in one walk over both in the same order."""
        part: list[PlainState] = [project_state(self._project)]
        yield from self._among([part], "", place_of(Project))

    def _differences_in(self, folder: PurePosixPath) -> Iterator[RecordFile | _MissingRecord]:
        """Yield what differs in the folder of one record, where such a folder can be."""
        place = place_at(folder)
        if place is None or not place.parents:
            return
        path = str(folder / place.file_name)
        parent = str(folder.parent.parent / place_of(place.parents[0]).file_name)
        key = {"parent": parent, "kind": place.record.type_name(), "path": path}
        states_in_index = self._connection.execute(sql.STATE, key).fetchall()
        record_file = find(self._project, path)
        part: list[PlainState] = [] if record_file is None else [record_file.state]
        yield from self._compare(part, states_in_index, parent, place)

    def _below(self, path: str, place: Place) -> Iterator[RecordFile | _MissingRecord]:
        folder = "" if path == PROJECT_FILE else f"{folder_of(path)}/"
        for child in children_of(place.record):
            parts = states(self._project, f"{folder}{child.folder}", child, self.skipped_files)
            yield from self._among(parts, path, child)

    def _among(
        self, parts: Iterable[list[PlainState]], parent: str, place: Place
    ) -> Iterator[RecordFile | _MissingRecord]:
        """Yield what differs among the records of one kind below one parent, and below these.

        What is stored is read a part at a time: a statement that stays open would keep the
        write-ahead log from being emptied. What is put meanwhile comes earlier in this order.
        """
        between = {"parent": parent, "kind": place.record.type_name(), "after": ""}
        for part in parts:
            between["last"] = part[-1][0]
            states_in_index = self._connection.execute(sql.STATES, between).fetchall()
            yield from self._compare(part, states_in_index, parent, place)
            between["after"] = between["last"]
        between["last"] = _AFTER_ALL
        states_in_index = self._connection.execute(sql.STATES, between).fetchall()
        yield from self._compare([], states_in_index, parent, place)

    def _compare(
        self, part: list[PlainState], states_in_index: list[PlainState], parent: str, place: Place
    ) -> Iterator[RecordFile | _MissingRecord]:
        if part != states_in_index:
            kind = place.record.type_name()
            by_path = {state[0]: state for state in states_in_index}
            for state in part:
                if by_path.pop(state[0], None) != state:
                    yield RecordFile(FileState(*state), parent, kind)
            for path in by_path:
                yield _MissingRecord(path, parent, kind)
        for path, _, _, below in part:
            if below and path not in self._copies.copies:
                yield from self._below(path, place)

    # ------------------------------------------------------------ what is kept

    def _take_in(
        self,
        differences: Iterator[RecordFile | _MissingRecord],
        listener: ReadListener | None = None,
    ) -> RefreshResult:
        """Write differences to the index, in short transactions."""
        changed = removals = 0
        with closing(self._read_ahead(differences)) as batches:
            for batch in batches:
                with self._transaction():
                    self._writer.store(batch.files)
                    changed += len(batch.files)
                    removals += sum(map(self._forget_all, batch.missing_records))
                    self._copies.settle()
                if listener is not None and batch.size == self._batch_size:
                    listener(changed)
        if changed or removals:
            self._take_in_former_copies()
            self._forget_below_copies()
        return RefreshResult(changed, removals)

    def _read_ahead(
        self, differences: Iterator[RecordFile | _MissingRecord]
    ) -> Generator[_ReadBatch]:
        """Yield what differs with the records; of much, a batch is read while another is stored."""
        batches = _batches(differences, self._batch_size)
        batch = next(batches, None)
        if batch is None:
            return
        with RecordReader(self._root, self._read_here) as reader:
            if len(batch) < self._batch_size:
                yield _read_batch(reader, batch)
                return
            with ThreadPoolExecutor(1, thread_name_prefix="index-reader") as thread:
                reading: Future[_ReadBatch] | None = thread.submit(_read_batch, reader, batch)
                while reading is not None:
                    batch = next(batches, None)
                    following = None if batch is None else thread.submit(_read_batch, reader, batch)
                    yield reading.result()
                    reading = following

    def _take_in_former_copies(self) -> None:
        """Index the copies whose record went away: each is a record now, with all below it."""
        for path in self._copies.former():
            record_file = find(self._project, path)
            if record_file is not None:
                below = self._below(path, place_of(kind_named(record_file.kind)))
                self._take_in(chain([record_file], below))

    def _forget_below_copies(self) -> None:
        """Forget what was indexed below a copy before it was known to be one."""
        copies = self._connection.execute(sql.COPIES).fetchall()
        rows = [row for path, _ in copies for row in self._writer.rows_below(path)]
        if rows:
            with self._transaction():
                self._writer.forget(rows)

    def _forget_all(self, missing: _MissingRecord) -> int:
        """Forget a record and all below it; return how many these are."""
        place = {"parent": missing.parent, "kind": missing.kind, "path": missing.path}
        rows = [row for (row,) in self._connection.execute(sql.ROW_OF, place)]
        rows += self._writer.rows_below(missing.path)
        self._writer.forget(rows)
        return len(rows)

    def _read(self, record_file: RecordFile) -> ReadResult:
        return read_values(self._root, record_file.state.path, record_file.kind)


def _read_batch(reader: RecordReader, batch: Sequence[RecordFile | _MissingRecord]) -> _ReadBatch:
    files = [entry for entry in batch if isinstance(entry, RecordFile)]
    missing_records = [entry for entry in batch if isinstance(entry, _MissingRecord)]
    return _ReadBatch(reader.read(files), missing_records)


def _record_folder(path: str) -> PurePosixPath:
    """Return the folder of the record that a file or a folder belongs to."""
    inside = PurePosixPath(path)
    return inside.parent if len(inside.parts) % 2 else inside


def _batches(
    differences: Iterable[RecordFile | _MissingRecord], size: int
) -> Iterator[list[RecordFile | _MissingRecord]]:
    """Yield parts of what differs; of much, files come in the order of their times.

    Rows are in the order of time, so a batch of neighbours changes few pages. In the order of the
    folders, whose ids are random, each batch of 100,000 runs rewrote a third of the index.
    """
    remainder = iter(differences)
    while window := list(islice(remainder, _BATCHES_IN_ORDER * size)):
        if len(window) > size:
            window.sort(key=_changed_ns)
        for begin in range(0, len(window), size):
            yield window[begin : begin + size]


def _changed_ns(difference: RecordFile | _MissingRecord) -> int:
    return difference.state.changed_ns if isinstance(difference, RecordFile) else 0
