"""Build the index and keep it true: the only place that writes it.

The index is derived from the files and disposable. Missing, of an older version or broken, it is
built again. Several processes share it; each keeps to short transactions.
"""

import hashlib
import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from storage.errors import UnreadableRecord
from storage.index import sql
from storage.index.rows import name_of, run_row, score_rows
from storage.index.scan import Found, find, scan
from storage.layout import kind_named
from storage.reading import read_record
from storage.records import EvalRun, Record, TaskRun

_BATCH = 500


def index_file(home: Path, project: Path) -> Path:
    """Return where the index of a project lies in the per-user home."""
    digest = hashlib.blake2b(str(project).encode(), digest_size=10).hexdigest()
    return home / "index" / f"{digest}.sqlite"


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh found: how many records are new or changed, and how many are gone."""

    changed: int
    gone: int


class IndexBuilder:
    """Writes the index of one project. Its methods block: call them in a thread, one at a time."""

    def __init__(self, project: Path, file: Path) -> None:
        self._project = project
        self._connection = _open(file)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def refresh(self) -> Refreshed:
        """Compare the index with the files' times and sizes, and read what differs."""
        connection = self._connection
        with _transaction(connection):
            connection.execute(sql.SEEN)
            connection.execute(sql.FORGET_SEEN)
            seen = ((f.path, f.parent, f.kind, f.changed_ns, f.size) for f in scan(self._project))
            connection.executemany(sql.NOTE_SEEN, seen)
            gone = [row for (row,) in connection.execute(sql.GONE)]
            self._forget(gone)
        changed = 0
        while batch := self._changed_files():
            with _transaction(connection):
                for found in batch:
                    self._put(found)
            changed += len(batch)
        return Refreshed(changed, len(gone))

    def note(self, paths: Iterable[str]) -> None:
        """Read some files again; forget those that are gone, with all below them."""
        with _transaction(self._connection):
            for path in paths:
                found = find(self._project, path)
                if found is None:
                    below = path.rpartition("/")[0] + "/*"
                    rows = self._connection.execute(sql.ROWS_BELOW, {"path": path, "below": below})
                    self._forget([row for (row,) in rows.fetchall()])
                else:
                    self._put(found)

    def _changed_files(self) -> list[Found]:
        rows = self._connection.execute(sql.CHANGED, {"most": _BATCH})
        return [Found(*row) for row in rows]

    def _forget(self, rows: Iterable[int]) -> None:
        for batch in _batches(rows):
            for statement in sql.FORGET:
                self._connection.executemany(statement, [{"row": row} for row in batch])

    def _put(self, found: Found) -> None:
        """Read a file and put what it says in place of what was known."""
        connection = self._connection
        self._forget([row for (row,) in connection.execute(sql.ROW_OF, {"path": found.path})])
        record, problem = self._read(found)
        cursor = connection.execute(
            sql.ADD_RECORD,
            {
                "path": found.path,
                "parent": found.parent,
                "kind": found.kind,
                "id": record.id if record else "",
                "name": name_of(record) if record else "",
                "folded": name_of(record).casefold() if record else "",
                "created_at": record.created_at.timestamp() if record else 0.0,
                "changed_ns": found.changed_ns,
                "size": found.size,
                "problem": problem,
            },
        )
        row = cursor.lastrowid or 0
        if isinstance(record, TaskRun):
            self._put_run(record, found.parent, row)
        elif isinstance(record, EvalRun):
            connection.executemany(sql.ADD_SCORE, score_rows(record, found.parent, row))

    def _put_run(self, run: TaskRun, parent: str, row: int) -> None:
        connection = self._connection
        kept = run_row(run, parent)
        connection.execute(sql.ADD_RUN, {"row": row, **kept.columns})
        connection.executemany(sql.ADD_TAG, [(tag, row) for tag in kept.tags])
        connection.executemany(sql.ADD_RATING, [(row, *one) for one in kept.ratings.items()])
        connection.execute(sql.ADD_TEXT, (row, *kept.texts))

    def _read(self, found: Found) -> tuple[Record | None, str | None]:
        try:
            content = (self._project / found.path).read_bytes()
            return read_record(kind_named(found.kind), content, found.path), None
        except UnreadableRecord as error:
            return None, error.reason
        except OSError as error:
            return None, error.strerror or str(error)


def _open(file: Path) -> sqlite3.Connection:
    """Open the index's file, empty where it cannot be used."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connect(file)
    except sqlite3.DatabaseError:
        for leftover in file.parent.glob(file.name + "*"):
            leftover.unlink(missing_ok=True)
        return _connect(file)


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    try:
        for pragma in sql.PRAGMAS:
            connection.execute(pragma)
        _check_version(connection)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _check_version(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute(sql.GET_VERSION).fetchone()
    if version == 0:
        connection.executescript(sql.SCHEMA)
    elif version != sql.VERSION:
        raise sqlite3.DatabaseError(f"an index of version {version}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _batches(rows: Iterable[int]) -> Iterator[list[int]]:
    left = iter(rows)
    while batch := list(islice(left, _BATCH)):
        yield batch
