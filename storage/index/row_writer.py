"""Write the rows of records into the index, those of many with few statements."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString, NamedTuple, cast

from storage.format.layout import children_of, kind_named
from storage.index import sql
from storage.index.conflict_copies import ConflictCopies
from storage.index.rows import SLOTS, RecordValues, RunRow, first_row, marks_of, value_rows
from storage.index.scan import RecordFile
from storage.index.words import searchable
from storage.records.names import folded_name

_ADDITIONS: Final[tuple[LiteralString, ...]] = (
    sql.ADD_RECORD,
    sql.ADD_RUN,
    sql.ADD_RATING,
    sql.ADD_FACET,
    sql.ADD_TEXT,
    sql.ADD_RESULT,
    sql.ADD_SCORE,
    sql.ADD_INPUT_TAG,
    sql.ADD_TOPIC,
)
"""What adds rows; a row that another one needs comes first."""


class ReadFile(NamedTuple):
    """A record's file that was read.

    Attributes:
        file: The file.
        values: Those of its record; None if it cannot be used.
        problem: Why not.
    """

    file: RecordFile
    values: RecordValues | None
    problem: str | None


@dataclass(slots=True)
class _Rows:
    """Rows to be added, by the statement that adds them."""

    values: dict[LiteralString, list[Any]] = field(  # what SQLite takes: tuples and dictionaries
        default_factory=lambda: defaultdict[LiteralString, list[Any]](list)
    )

    def add(self, statement: LiteralString, *rows: Any) -> None:
        self.values[statement] += rows


class RowWriter:
    """Writes the rows of records. Call it in the builder's transactions.

    Args:
        connection: The index.
        copies: The conflict copies of the index.
    """

    def __init__(self, connection: sqlite3.Connection, copies: ConflictCopies) -> None:
        self._connection = connection
        self._copies = copies
        self._numbers: dict[str, int] = {}
        """Of the tasks and judges, by their files."""

    def forget_numbers(self) -> None:
        """Forget what a transaction that was rolled back has written."""
        self._numbers.clear()

    def store(self, files: Sequence[ReadFile]) -> None:
        """Replace the rows of records; each file is there once."""
        # In the order of their rows the pages of most tables are written one after the other.
        firsts = sorted(
            ((_first_row(file.values), file) for file in files), key=lambda pair: pair[0]
        )
        old_rows = self._old_rows(files)
        free_rows = _FreeRows(self._connection)
        free_rows.look_up(first for first, _ in firsts)
        rows = _Rows()
        for first, file in firsts:
            former_rows = old_rows.get(file.file.state.path, [])
            own = next((row for row in former_rows if first <= row < first + SLOTS), None)
            self._collect(file, free_rows.take(first) if own is None else own, rows)
        self.forget(row for former_rows in old_rows.values() for row in former_rows)
        self._forget_below([file.file for file in files])
        for statement in _ADDITIONS:
            if statement in rows.values:
                self._connection.executemany(statement, rows.values[statement])

    def forget(self, rows: Iterable[int]) -> None:
        """Remove the rows of records."""
        keys = [{"row": row} for row in rows]
        if keys:
            self._copies.note_removal(key["row"] for key in keys)
            for statement in sql.FORGET:
                self._connection.executemany(statement, keys)

    def rows_below(self, path: str) -> list[int]:
        """Return the rows of all records below one."""
        return [row for (row,) in self._connection.execute(sql.ROWS_BELOW, {"path": path})]

    def _old_rows(self, files: Iterable[ReadFile]) -> dict[str, list[int]]:
        """Return the rows that records have already, by their files."""
        groups: dict[tuple[str, str], list[str]] = defaultdict(list)
        for file in files:
            groups[file.file.parent, file.file.kind].append(file.file.state.path)
        old_rows: dict[str, list[int]] = defaultdict(list)
        for (parent, kind), paths in groups.items():
            key = {"parent": parent, "kind": kind, "paths": json.dumps(paths)}
            for path, row in self._connection.execute(sql.ROWS_OF, key):
                old_rows[path].append(row)
        return old_rows

    def _forget_below(self, files: Iterable[RecordFile]) -> None:
        """Forget what was below records that have no folder below them any more."""
        bare_paths = [
            file.state.path
            for file in files
            if not file.state.below and children_of(kind_named(file.kind))
        ]
        if bare_paths:
            key = {"paths": json.dumps(bare_paths)}
            for (path,) in self._connection.execute(sql.PARENTS_AMONG, key).fetchall():
                self.forget(self.rows_below(path))

    def _collect(self, file: ReadFile, row: int, rows: _Rows) -> None:
        """Collect the rows of one record."""
        (path, changed_ns, size, below), values = file.file.state, file.values
        parent, kind = file.file.parent, file.file.kind
        record_id, name, created_us = "", "", 0
        if values is not None:
            record_id, name, created_us = values.id, values.name, values.created_us
            self._copies.note(parent, kind, record_id)
        search_name = folded_name(name) if name else ""
        rows.add(
            sql.ADD_RECORD,
            (row, path, parent, kind, record_id, name, search_name, created_us, changed_ns, size,
             below, file.problem),
        )  # fmt: skip
        if values is None:
            return
        if values.run is not None:
            self._collect_run(values.run, self._number_of(parent), row, rows)
        elif values.result is not None:
            place = {"row": row, "evaluator": self._number_of(parent)}
            rows.add(sql.ADD_RESULT, {**values.result, **place})
            rows.add(sql.ADD_SCORE, *((row, *score) for score in values.scores))
        rows.add(sql.ADD_INPUT_TAG, *((row, tag) for tag in values.tags))
        if values.topic:
            rows.add(sql.ADD_TOPIC, (row, values.topic))

    def _collect_run(self, values: RunRow, task: int, row: int, rows: _Rows) -> None:
        rows.add(
            sql.ADD_RUN,
            (row, task, values.rating, values.rated_us, values.item_id, values.run_config_id,
             values.sample, values.cost, values.latency_ms, values.tokens, values.model,
             values.previous_id, values.fingerprint),
        )  # fmt: skip
        if values.topic:
            rows.add(sql.ADD_TOPIC, (row, values.topic))
        if values.ratings:
            rows.add(sql.ADD_RATING, *value_rows(values.ratings, row))
        rows.add(sql.ADD_FACET, *((task, facet, row) for facet in values.facets))
        marks = marks_of(task, values.facets)
        rows.add(sql.ADD_TEXT, (row, *map(searchable, values.texts), marks))

    def _number_of(self, parent: str) -> int:
        if parent not in self._numbers:
            self._connection.execute(sql.ADD_PARENT, {"path": parent})
            (number,) = self._connection.execute(sql.NUMBER_OF, {"path": parent}).fetchone()
            self._numbers[parent] = number
        return self._numbers[parent]


class _FreeRows:
    """Row numbers that no record has, in the order of time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._last: dict[int, int | None] = {}

    def look_up(self, firsts: Iterable[int]) -> None:
        """Look up the last row of several moments with one statement."""
        distinct_firsts = set(firsts)
        if len(distinct_firsts) > 1:
            key = {"firsts": json.dumps(list(distinct_firsts)), "slots": SLOTS}
            self._last |= cast(
                "list[tuple[int, int | None]]",
                self._connection.execute(sql.LAST_ROWS, key).fetchall(),
            )

    def take(self, first: int) -> int:
        """Take the lowest row from here on that comes after those of the same moment."""
        while True:
            last = self._last_of(first)
            row = first if last is None else last + 1
            if row < first + SLOTS:
                self._last[first] = row
                return row
            first += SLOTS

    def _last_of(self, first: int) -> int | None:
        if first not in self._last:
            span = {"first": first, "end": first + SLOTS}
            (self._last[first],) = self._connection.execute(sql.LAST_ROW, span).fetchone()
        return self._last[first]


def _first_row(values: RecordValues | None) -> int:
    return first_row(values.created_us if values else 0)
