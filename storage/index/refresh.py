"""Build and refresh the index: the only module that writes it.

The index is derived from the files and disposable. Missing, of an older version or broken, it is
built again. Several processes share it; each keeps to short transactions.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from storage.errors import UnreadableRecord
from storage.files import read_plain
from storage.format.layout import (
    PROJECT_FILE,
    Place,
    children_of,
    folder_of,
    kind_named,
    place_at,
    place_of,
)
from storage.format.record_text import parse_record
from storage.index import sql
from storage.index.conflict_copies import ConflictCopies
from storage.index.index_file import open_index
from storage.index.rows import (
    SLOTS,
    first_row,
    mark_of,
    microseconds,
    name_of,
    result_row,
    run_row,
    score_rows,
    value_rows,
)
from storage.index.scan import (
    FileState,
    PlainState,
    RecordFile,
    find,
    project_state,
    record_paths,
    states,
)
from storage.index.words import searchable
from storage.records import EvalInput, EvalRun, Project, Record, TaskRun
from storage.records.names import folded_name

ReadListener = Callable[[int], None]
_BATCH = 2000
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


class IndexBuilder:
    """Writes the index of one project. Its methods block: call them in a thread, one at a time.

    Attributes:
        skipped_files: Paths that the last refresh skipped, each with the reason.
    """

    def __init__(self, project: Path, file: Path) -> None:
        self._project = project
        self._root = str(project)
        self._connection = open_index(file)
        self.skipped_files: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        """Of the tasks and judges, by their files."""
        self._copies = ConflictCopies(self._connection)

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
        written_paths: Iterable[str],
        moved_paths: Iterable[str] = (),
        records: Mapping[str, tuple[bytes, Record]] = MappingProxyType({}),
    ) -> None:
        """Index the files that were changed, and look at nothing else.

        Args:
            written_paths: Files to read again; those that are gone are found by the next refresh.
            moved_paths: Files or folders that appeared or went away, to be compared with all below.
            records: What was written to some of the files, with the record that it spells: it is
                not parsed again where the file still holds it.
        """
        with self._transaction():
            for path in written_paths:
                record_file = find(self._project, path)
                if record_file is not None:
                    self._store(record_file, records.get(path))
            self._copies.settle()
        self._take_in_former_copies()
        folders = dict.fromkeys(map(_record_folder, moved_paths))
        self._take_in(chain.from_iterable(map(self._differences_in, folders)))

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
            self._numbers.clear()
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
        for batch in _batches(differences):
            with self._transaction():
                for difference in batch:
                    if isinstance(difference, RecordFile):
                        self._store(difference)
                        changed += 1
                    else:
                        removals += self._forget_all(difference)
                self._copies.settle()
            if listener is not None and len(batch) == _BATCH:
                listener(changed)
        if changed or removals:
            self._take_in_former_copies()
            self._forget_below_copies()
        return RefreshResult(changed, removals)

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
        rows = [row for path, _ in copies for row in self._rows_below(path)]
        if rows:
            with self._transaction():
                self._forget(rows)

    def _forget_all(self, missing: _MissingRecord) -> int:
        """Forget a record and all below it; return how many these are."""
        place = {"parent": missing.parent, "kind": missing.kind, "path": missing.path}
        rows = [row for (row,) in self._connection.execute(sql.ROW_OF, place)]
        rows += self._rows_below(missing.path)
        self._forget(rows)
        return len(rows)

    def _rows_below(self, path: str) -> list[int]:
        return [row for (row,) in self._connection.execute(sql.ROWS_BELOW, {"path": path})]

    def _forget(self, rows: list[int]) -> None:
        self._copies.note_removal(rows)
        for statement in sql.FORGET:
            self._connection.executemany(statement, [{"row": row} for row in rows])

    def _store(
        self, record_file: RecordFile, content_and_record: tuple[bytes, Record] | None = None
    ) -> None:
        """Read a file and replace its row in the index."""
        state = record_file.state
        place = {"parent": record_file.parent, "kind": record_file.kind, "path": state.path}
        rows = [row for (row,) in self._connection.execute(sql.ROW_OF, place)]
        record, problem = self._read(record_file, content_and_record)
        created_us = microseconds(record.created_at) if record else 0
        name = name_of(record) if record else ""
        first = first_row(created_us)
        row = next((row for row in rows if first <= row < first + SLOTS), None)
        row = self._free_row(first) if row is None else row
        if rows:
            self._forget(rows)
        if not state.below and children_of(kind_named(record_file.kind)):
            self._forget(self._rows_below(state.path))
        if record is not None:
            self._copies.note(record_file.parent, record_file.kind, record.id)
        self._connection.execute(
            sql.ADD_RECORD,
            {
                **place,
                "row": row,
                "id": record.id if record else "",
                "name": name,
                "folded": folded_name(name) if name else "",
                "created_us": created_us,
                "changed_ns": state.changed_ns,
                "size": state.size,
                "below": state.below,
                "problem": problem,
            },
        )
        if isinstance(record, TaskRun):
            self._store_run(record, self._number_of(record_file.parent), row)
        elif isinstance(record, EvalRun):
            evaluator = self._number_of(record_file.parent)
            self._connection.execute(sql.ADD_RESULT, result_row(record, evaluator, row))
            self._connection.executemany(sql.ADD_SCORE, score_rows(record, row))
        elif isinstance(record, EvalInput):
            self._connection.executemany(sql.ADD_INPUT_TAG, [(row, tag) for tag in record.tags])

    def _store_run(self, run: TaskRun, task: int, row: int) -> None:
        connection = self._connection
        run_row_values = run_row(run)
        connection.execute(
            sql.ADD_RUN,
            {
                "row": row,
                "task": task,
                "rating": run_row_values.rating,
                "rated_us": run_row_values.rated_us,
                "item_id": run_row_values.item_id,
                "run_config_id": run_row_values.run_config_id,
                "sample": run_row_values.sample,
                "cost": run_row_values.cost,
                "latency_ms": run_row_values.latency_ms,
            },
        )
        if run_row_values.ratings:
            connection.executemany(sql.ADD_RATING, value_rows(run_row_values.ratings, row))
        connection.executemany(
            sql.ADD_FACET, [(task, facet, row) for facet in run_row_values.facets]
        )
        marks = " ".join(map(mark_of, (f"task:{task}", *run_row_values.facets)))
        connection.execute(sql.ADD_TEXT, (row, *map(searchable, run_row_values.texts), marks))

    def _number_of(self, parent: str) -> int:
        if parent not in self._numbers:
            self._connection.execute(sql.ADD_PARENT, {"path": parent})
            (number,) = self._connection.execute(sql.NUMBER_OF, {"path": parent}).fetchone()
            self._numbers[parent] = number
        return self._numbers[parent]

    def _free_row(self, first: int) -> int:
        """Return the lowest row number from here on that comes after those of the same moment."""
        while True:
            span = {"first": first, "end": first + SLOTS}
            (last,) = self._connection.execute(sql.LAST_ROW, span).fetchone()
            if last is None:
                return first
            if last + 1 < first + SLOTS:
                return last + 1
            first += SLOTS

    def _read(
        self, record_file: RecordFile, content_and_record: tuple[bytes, Record] | None
    ) -> tuple[Record | None, str | None]:
        path = record_file.state.path
        try:
            content = read_plain(f"{self._root}/{path}")
            if content_and_record is not None and content_and_record[0] == content:
                return content_and_record[1], None
            return parse_record(kind_named(record_file.kind), content, path), None
        except UnreadableRecord as error:
            return None, error.reason
        except OSError as error:
            return None, error.strerror or str(error)


def _record_folder(path: str) -> PurePosixPath:
    """Return the folder of the record that a file or a folder belongs to."""
    inside = PurePosixPath(path)
    return inside.parent if len(inside.parts) % 2 else inside


def _batches(
    differences: Iterable[RecordFile | _MissingRecord],
) -> Iterator[list[RecordFile | _MissingRecord]]:
    remainder = iter(differences)
    while batch := list(islice(remainder, _BATCH)):
        yield batch
