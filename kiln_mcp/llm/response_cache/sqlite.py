"""The response cache of one machine: a SQLite file that several processes may share."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, LiteralString

import anyio.to_thread

from kiln_mcp.errors import database_sentence
from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.llm.response_cache.cache import (
    CacheEntry,
    Key,
    NewEntry,
    Spending,
    entry_in,
    entry_row,
    note_row,
    spending_in,
)
from kiln_mcp.llm.response_cache.expense import Expense
from kiln_mcp.llm.response_cache.in_flight import InFlightNote
from kiln_mcp.llm.response_cache.writer import Batch, CacheChange, CacheWriter
from storage.sqlite_files import open_shared

_SCHEMA: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY,
    request_hash BLOB NOT NULL CHECK (length(request_hash) = 16),
    sample INTEGER NOT NULL,
    asked_at REAL NOT NULL,
    asker TEXT NOT NULL,
    model TEXT NOT NULL,
    answer TEXT NOT NULL CHECK (json_valid(answer)),
    problem TEXT,
    input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
    output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
    cached_tokens INTEGER NOT NULL CHECK (cached_tokens >= 0),
    cost_usd REAL,
    latency_s REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS calls_by_request ON calls (request_hash, sample, id);
CREATE INDEX IF NOT EXISTS calls_by_asker ON calls (asker);
CREATE TABLE IF NOT EXISTS on_the_way (
    id TEXT PRIMARY KEY,
    budget TEXT NOT NULL,
    noted_at REAL NOT NULL,
    cost_usd REAL NOT NULL,
    tokens INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS on_the_way_by_budget ON on_the_way (budget);
DELETE FROM on_the_way WHERE calls = 0;
"""
_STATEMENTS: Final[dict[CacheChange, LiteralString]] = {
    CacheChange.NOTE: """
        INSERT OR REPLACE INTO on_the_way
            (id, budget, noted_at, cost_usd, tokens, calls, unpriced_calls)
        VALUES (:id, :budget, :noted_at, :cost_usd, :tokens, :calls, :unpriced_calls)
        """,
    CacheChange.WRITE: """
        INSERT INTO calls (request_hash, sample, asked_at, asker, model, answer, problem,
            input_tokens, output_tokens, cached_tokens, cost_usd, latency_s)
        VALUES (:request_hash, :sample, :asked_at, :asker, :model, :answer, :problem,
            :input_tokens, :output_tokens, :cached_tokens, :cost_usd, :latency_s)
        """,
}
_NEWEST: Final[LiteralString] = """
SELECT answer, problem, input_tokens, output_tokens, cached_tokens, cost_usd, latency_s, asker
FROM calls
WHERE request_hash = :request_hash AND sample = :sample ORDER BY id DESC LIMIT 1
"""
_NEWEST_OF_EACH: Final[LiteralString] = """
WITH RECURSIVE asked (place) AS (
    SELECT 0 UNION ALL SELECT place + 1 FROM asked WHERE place + 1 < :count
)
SELECT place, answer, problem, input_tokens, output_tokens, cached_tokens, cost_usd, latency_s,
    asker
FROM asked CROSS JOIN calls ON calls.id = (
    SELECT id FROM calls
    WHERE request_hash = substr(:hashes, 16 * place + 1, 16)
        AND sample = json_extract(:samples, '$[' || place || ']')
    ORDER BY id DESC LIMIT 1
)
"""
_SPENDING: Final[LiteralString] = """
SELECT model, count(*), sum(input_tokens), sum(output_tokens), sum(cached_tokens),
    total(cost_usd), sum(cost_usd IS NULL)
FROM calls WHERE asker GLOB :asker GROUP BY model ORDER BY model
"""
_UNHEARD: Final[LiteralString] = """
SELECT total(cost_usd), coalesce(sum(tokens), 0), coalesce(sum(calls), 0),
    coalesce(sum(unpriced_calls), 0)
FROM on_the_way WHERE budget = :budget
"""


class SqliteResponseCache:
    """A response cache in a SQLite file.

    A row is read in the event loop: a point lookup in WAL mode takes microseconds and never
    waits for a writer.
    """

    def __init__(self, path: Path | None) -> None:
        """Name the file; None for one that is deleted at the end."""
        self._path = path
        self._writer: CacheWriter | None = None
        self._connection: sqlite3.Connection | None = None
        self._writing: sqlite3.Connection | None = None
        self._folder: TemporaryDirectory[str] | None = None
        self._opening = anyio.Lock()
        self._is_open = False

    async def open(self) -> None:
        """Get ready without opening the file: a process that asks no model needs none."""
        self._is_open = True

    async def close(self) -> None:
        """Write the rows that wait, and close the file."""
        self._is_open = False
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
        for connection in (self._connection, self._writing):
            if connection is not None:
                connection.close()
        self._connection = self._writing = None
        if self._folder is not None:
            self._folder.cleanup()

    async def _open_writer(self) -> CacheWriter:
        """Return the writer; open or create the file first."""
        if self._writer is not None:
            return self._writer
        if not self._is_open:
            raise self._failure("it is not open")
        async with self._opening:
            if self._writer is None:
                self._connection = await anyio.to_thread.run_sync(self._connect)
                self._writing = await anyio.to_thread.run_sync(self._connect)
                self._writer = CacheWriter(self._write_batch)
            return self._writer

    def _connect(self) -> sqlite3.Connection:
        try:
            if self._path is None:
                self._folder = TemporaryDirectory(prefix="kiln-mcp-")
                self._path = Path(self._folder.name, "responses.sqlite")
            connection = open_shared(self._path)
            connection.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise self._failure(error) from error
        return connection

    def _failure(self, error: Exception | str) -> DatabaseFailure:
        loss = "What was answered before is asked, and paid for, once more"
        return DatabaseFailure(database_sentence(self._path or Path("memory"), error, loss))

    def _rows(self, statement: LiteralString, **values: bytes | str | int) -> Sequence[Any]:
        if self._connection is None:
            raise self._failure("it is not open")
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from error

    async def read(self, key: Key) -> CacheEntry | None:
        """Return the newest answer to a request, None if it was never answered."""
        if self._connection is None:
            await self._open_writer()
        rows = self._rows(_NEWEST, request_hash=key[0], sample=key[1])
        return entry_in(rows[0]) if rows else None

    async def read_all(self, keys: Sequence[Key]) -> Mapping[Key, CacheEntry]:
        """Return the newest answer to each request that was ever answered, with one question."""
        if not keys:
            return {}
        if self._connection is None:
            await self._open_writer()
        hashes, samples = b"".join(key[0] for key in keys), json.dumps([key[1] for key in keys])
        rows = self._rows(_NEWEST_OF_EACH, count=len(keys), hashes=hashes, samples=samples)
        return {keys[place]: entry_in(row) for place, *row in rows}

    async def write(self, new_entry: NewEntry) -> None:
        """Write an answer; return when it is in the file."""
        # The answer has been paid for: a cancelled asker must not lose it, and the row is written
        # whether or not anyone still waits.
        await (await self._open_writer()).add(CacheChange.WRITE, entry_row(new_entry))

    async def note(self, note: InFlightNote) -> None:
        """Keep a note; return when it is in the file."""
        await (await self._open_writer()).add(CacheChange.NOTE, note_row(note))

    def note_soon(self, note: InFlightNote) -> None:
        """Keep a note, soon."""
        if self._writer is None:
            raise self._failure("it is not open")
        self._writer.add_soon(CacheChange.NOTE, note_row(note))

    async def spending(self, asker: str = "*") -> tuple[Spending, ...]:
        """Return the spending by model; `asker` may hold `*` as in file names."""
        await self._open_writer()
        rows = await anyio.to_thread.run_sync(lambda: self._rows(_SPENDING, asker=asker))
        return tuple(spending_in(row) for row in rows)

    async def unanswered_expense(self, budget: str) -> Expense:
        """Return the maximum of the in-flight and lost calls under a budget."""
        await (await self._open_writer()).flush()
        [row] = await anyio.to_thread.run_sync(lambda: self._rows(_UNHEARD, budget=budget))
        return Expense(*row)

    def _write_batch(self, batch: Batch) -> None:
        connection = self._writing
        if connection is None:
            raise self._failure("it is not open")
        try:
            with connection:  # ends the transaction, however it goes
                connection.execute("BEGIN IMMEDIATE")
                for change in CacheChange:
                    connection.executemany(_STATEMENTS[change], batch[change])
        except (sqlite3.Error, UnicodeError, OverflowError) as error:
            raise self._failure(error) from error
