"""The response cache in a Postgres database, shared by all workers."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Final, LiteralString

import anyio.to_thread
from psycopg import Connection
from psycopg.rows import TupleRow

from kiln_mcp.llm.postgres_connection import PostgresLink, T, Transaction
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

_SCHEMA: Final[tuple[LiteralString, ...]] = (
    # IF NOT EXISTS does not keep workers that start at once from colliding.
    "SELECT pg_advisory_xact_lock(7355609)",
    """
    CREATE TABLE IF NOT EXISTS kiln_calls (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        token TEXT NOT NULL UNIQUE,
        request_hash BYTEA NOT NULL CHECK (length(request_hash) = 16),
        sample BIGINT NOT NULL,
        asked_at DOUBLE PRECISION NOT NULL,
        asker TEXT NOT NULL,
        model TEXT NOT NULL,
        answer TEXT NOT NULL,
        problem TEXT,
        input_tokens BIGINT NOT NULL CHECK (input_tokens >= 0),
        output_tokens BIGINT NOT NULL CHECK (output_tokens >= 0),
        cached_tokens BIGINT NOT NULL CHECK (cached_tokens >= 0),
        cost_usd DOUBLE PRECISION,
        latency_s DOUBLE PRECISION NOT NULL
    )
    """,
    """
    CREATE INDEX IF NOT EXISTS kiln_calls_by_request ON kiln_calls (request_hash, sample, id)
    """,
    "CREATE INDEX IF NOT EXISTS kiln_calls_by_asker ON kiln_calls (asker text_pattern_ops)",
    """
    CREATE TABLE IF NOT EXISTS kiln_on_the_way (
        id TEXT PRIMARY KEY,
        budget TEXT NOT NULL,
        noted_at DOUBLE PRECISION NOT NULL,
        cost_usd DOUBLE PRECISION NOT NULL,
        tokens BIGINT NOT NULL,
        calls BIGINT NOT NULL,
        unpriced_calls BIGINT NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS kiln_on_the_way_by_budget ON kiln_on_the_way (budget)",
    "DELETE FROM kiln_on_the_way WHERE calls = 0",
)
_STATEMENTS: Final[Mapping[CacheChange, LiteralString]] = {
    CacheChange.NOTE: """
        INSERT INTO kiln_on_the_way
            (id, budget, noted_at, cost_usd, tokens, calls, unpriced_calls)
        VALUES (%(id)s, %(budget)s, %(noted_at)s, %(cost_usd)s, %(tokens)s, %(calls)s,
            %(unpriced_calls)s)
        ON CONFLICT (id) DO UPDATE SET noted_at = excluded.noted_at,
            cost_usd = excluded.cost_usd, tokens = excluded.tokens, calls = excluded.calls,
            unpriced_calls = excluded.unpriced_calls
        """,
    CacheChange.WRITE: """
        INSERT INTO kiln_calls (token, request_hash, sample, asked_at, asker, model, answer,
            problem, input_tokens, output_tokens, cached_tokens, cost_usd, latency_s)
        VALUES (%(token)s, %(request_hash)s, %(sample)s, %(asked_at)s, %(asker)s, %(model)s,
            %(answer)s, %(problem)s, %(input_tokens)s, %(output_tokens)s, %(cached_tokens)s,
            %(cost_usd)s, %(latency_s)s)
        ON CONFLICT (token) DO NOTHING
        """,
}
_NEWEST: Final[LiteralString] = """
SELECT newest.* FROM unnest(%(hashes)s::bytea[], %(samples)s::bigint[]) AS asked (hash, number)
CROSS JOIN LATERAL (
    SELECT request_hash, sample, answer, problem, input_tokens, output_tokens, cached_tokens,
        cost_usd, latency_s, asker
    FROM kiln_calls WHERE request_hash = asked.hash AND sample = asked.number
    ORDER BY id DESC LIMIT 1
) AS newest
"""
_SPENDING: Final[LiteralString] = """
SELECT model, count(*), sum(input_tokens)::bigint, sum(output_tokens)::bigint,
    sum(cached_tokens)::bigint, coalesce(sum(cost_usd), 0), count(*) FILTER (WHERE cost_usd IS NULL)
FROM kiln_calls WHERE asker LIKE %(asker)s GROUP BY model ORDER BY model COLLATE "C"
"""
_UNHEARD: Final[LiteralString] = """
SELECT coalesce(sum(cost_usd), 0), coalesce(sum(tokens), 0)::bigint,
    coalesce(sum(calls), 0)::bigint, coalesce(sum(unpriced_calls), 0)::bigint
FROM kiln_on_the_way WHERE budget = %(budget)s
"""

Entries = Mapping[Key, CacheEntry]


class PostgresResponseCache:
    """A response cache in a Postgres database. Concurrent lookups go in one query."""

    def __init__(self, url: str) -> None:
        """Name the database, without any contact."""
        self._reading = PostgresLink(url, "reads")
        self._writing = PostgresLink(url, "writes")
        self._writer: CacheWriter | None = None
        self._lookups: dict[Key, asyncio.Future[CacheEntry | None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._has_tables = False

    def _run(self, link: PostgresLink, work: Transaction[T]) -> T:
        """Do work; create the tables first."""
        if not self._has_tables:
            self._writing.run(_create_tables)
            self._has_tables = True
        return link.run(work)

    async def open(self) -> None:
        """Get ready without contact: a process that asks no model needs no database."""
        self._writer = CacheWriter(self._write_batch)

    async def close(self) -> None:
        """Write the rows that wait, and close the connections."""
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
        await anyio.to_thread.run_sync(self._reading.close)
        await anyio.to_thread.run_sync(self._writing.close)

    def _open_writer(self) -> CacheWriter:
        if self._writer is None:
            raise RuntimeError("the response cache is not open")
        return self._writer

    async def read(self, key: Key) -> CacheEntry | None:
        """Return the newest answer to a request, None if it was never answered."""
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = asyncio.get_running_loop().create_future()
            if self._looking is None:
                self._looking = asyncio.create_task(self._look_up())
        # Other callers may wait for it, too.
        return await asyncio.shield(lookup)

    async def read_all(self, keys: Sequence[Key]) -> Entries:
        """Return the newest answer to each request that was ever answered, with one question."""
        return await anyio.to_thread.run_sync(self._newest, keys)

    async def _look_up(self) -> None:
        """Answer all lookups, batch by batch."""
        while self._lookups:
            lookups, self._lookups = self._lookups, {}
            try:
                entries = await anyio.to_thread.run_sync(self._newest, list(lookups))
            except BaseException as error:
                for future in lookups.values():
                    future.set_exception(error)
                    future.exception()  # retrieved, even if no caller waits any more
                if not isinstance(error, Exception):
                    raise
                continue
            for key, future in lookups.items():
                future.set_result(entries.get(key))
        self._looking = None

    def _newest(self, keys: Sequence[Key]) -> Entries:
        values = {"hashes": [key[0] for key in keys], "samples": [key[1] for key in keys]}
        rows = self._run(
            self._reading, lambda connection: connection.execute(_NEWEST, values).fetchall()
        )
        return {(bytes(row[0]), row[1]): entry_in(row[2:]) for row in rows}

    async def write(self, new_entry: NewEntry) -> None:
        """Write an answer; return when it is in the database."""
        row = entry_row(new_entry) | {
            "token": secrets.token_hex(8),  # a row that is sent twice is written once
            "problem": _storable(new_entry.entry.problem),
        }
        await self._open_writer().add(CacheChange.WRITE, row)

    async def note(self, note: InFlightNote) -> None:
        """Keep a note; return when it is in the database."""
        await self._open_writer().add(CacheChange.NOTE, note_row(note))

    def note_soon(self, note: InFlightNote) -> None:
        """Keep a note, soon."""
        self._open_writer().add_soon(CacheChange.NOTE, note_row(note))

    async def spending(self, asker: str = "*") -> tuple[Spending, ...]:
        """Return the spending by model; `asker` may hold `*` as in file names."""
        rows = await self._rows(_SPENDING, asker=_like(asker))
        return tuple(spending_in(row) for row in rows)

    async def unanswered_expense(self, budget: str) -> Expense:
        """Return the maximum of the in-flight and lost calls under a budget."""
        await self._open_writer().flush()
        [row] = await self._rows(_UNHEARD, budget=budget)
        return Expense(*row)

    async def _rows(self, statement: LiteralString, **values: str) -> Sequence[TupleRow]:
        def select(connection: Connection[TupleRow]) -> Sequence[TupleRow]:
            return connection.execute(statement, values).fetchall()

        return await anyio.to_thread.run_sync(self._run, self._reading, select)

    def _write_batch(self, batch: Batch) -> None:
        def write(connection: Connection[TupleRow]) -> None:
            with connection.cursor() as cursor:
                for change in CacheChange:
                    if rows := batch[change]:
                        cursor.executemany(_STATEMENTS[change], rows)

        if any(batch.values()):
            self._run(self._writing, write)


def _create_tables(connection: Connection[TupleRow]) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)


def _storable(text: str | None) -> str | None:
    """Return a text that Postgres can keep: without zero bytes and lone surrogates."""
    return (
        text and text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    )


def _like(pattern: str) -> str:
    for special in "\\%_":
        pattern = pattern.replace(special, f"\\{special}")
    return pattern.replace("*", "%")
