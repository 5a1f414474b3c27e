"""Work orders: questions to the connected assistant, in the role of the model `host`.

They are kept in SQLite. So an order survives the process that waits for it, and an answer is found
whichever process holds the assistant's connection.
"""

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, LiteralString, TypeVar

import anyio
import anyio.to_thread

from kiln_mcp.errors import database_sentence
from kiln_mcp.llm.answer_schemas import fit
from kiln_mcp.llm.errors import DatabaseFailure, UnknownOrder
from kiln_mcp.llm.messages import JsonSchema, Message, ModelAnswer, ModelRequest
from kiln_mcp.llm.response_cache.cache import request_key
from storage.sqlite_files import open_shared

HOST: Final = "host"
LEASE_S: Final = 90.0
"""The lease: seconds that an order is kept for its taker after the last heartbeat."""
RENEW_EVERY_S: Final = 5.0
WAITER_LEASE_S: Final = 15.0
"""Seconds that an order is handed out after the last sign that a process waits for it."""
LONGEST_KEPT_S: Final = 30 * 86_400.0
POLL_S: Final = 0.5
LONGEST_CANCEL_S: Final = 2.0

_SCHEMA: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS work_orders (
    id TEXT PRIMARY KEY,
    request_hash BLOB NOT NULL,
    sample INTEGER NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    put_at REAL NOT NULL,
    leased_until REAL NOT NULL DEFAULT 0,
    taken_by TEXT NOT NULL DEFAULT '',
    waited_for_until REAL NOT NULL,
    asker TEXT NOT NULL DEFAULT '',
    answer TEXT,
    UNIQUE (request_hash, sample)
) STRICT;
CREATE INDEX IF NOT EXISTS open_orders ON work_orders (put_at) WHERE answer IS NULL;
"""
_COLUMNS: Final[LiteralString] = "SELECT name FROM pragma_table_info('work_orders')"
_ADD_COLUMNS: Final[Mapping[str, LiteralString]] = {
    "taken_by": "ALTER TABLE work_orders ADD COLUMN taken_by TEXT NOT NULL DEFAULT ''",
    "asker": "ALTER TABLE work_orders ADD COLUMN asker TEXT NOT NULL DEFAULT ''",
}
_FORGET_OLD: Final[LiteralString] = "DELETE FROM work_orders WHERE put_at < :before"
_ADD: Final[LiteralString] = """
INSERT INTO work_orders (id, request_hash, sample, body, put_at, waited_for_until, asker)
VALUES (:id, :request_hash, :sample, :body, :now, :until, :asker)
ON CONFLICT (request_hash, sample)
DO UPDATE SET waited_for_until = excluded.waited_for_until, asker = excluded.asker
RETURNING id
"""
_TAKE: Final[LiteralString] = """
UPDATE work_orders SET leased_until = :until, taken_by = :taker WHERE id IN (
    SELECT id FROM work_orders
    WHERE answer IS NULL AND leased_until < :now AND waited_for_until >= :now
    ORDER BY put_at, id LIMIT :most
) RETURNING id, body
"""
_RENEW: Final[LiteralString] = """
UPDATE work_orders SET leased_until = :until
WHERE taken_by = :taker AND answer IS NULL AND leased_until >= :now
"""
_GIVE_BACK: Final[LiteralString] = """
UPDATE work_orders SET leased_until = 0, taken_by = '' WHERE taken_by = :taker AND answer IS NULL
"""
_BODY: Final[LiteralString] = "SELECT body FROM work_orders WHERE id = :id AND answer IS NULL"
_ANSWER: Final[LiteralString] = """
UPDATE work_orders SET answer = :answer WHERE id = :id AND answer IS NULL
"""
_READ: Final[LiteralString] = "SELECT answer FROM work_orders WHERE id = :id"
_STILL_WAITED_FOR: Final[LiteralString] = """
UPDATE work_orders SET waited_for_until = :until WHERE id = :id
"""
_FORGET: Final[LiteralString] = "DELETE FROM work_orders WHERE id = :id"
_OPEN: Final[LiteralString] = """
SELECT count(*) FROM work_orders
WHERE answer IS NULL AND waited_for_until >= :now AND asker GLOB :asker
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """A request for the assistant.

    Attributes:
        id: Handed back with the answer.
        messages: The conversation to answer.
        schema: The JSON schema that the answer must fit; None for free text.
        choices: The texts of which the answer must be one; empty for free text.
    """

    id: str
    messages: tuple[Message, ...]
    schema: JsonSchema | None
    choices: tuple[str, ...]


def _body(request: ModelRequest) -> str:
    messages = [(message.role, message.content) for message in request.messages]
    return json.dumps([messages, request.schema, request.choices], ensure_ascii=False)


def _order(order_id: str, body: str) -> WorkOrder:
    messages, schema, choices = json.loads(body)
    return WorkOrder(
        order_id, tuple(Message(role, text) for role, text in messages), schema, tuple(choices)
    )


class WorkOrders:
    """The queue of work orders in one SQLite file, shared by all processes of a home."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        """Name the file.

        Args:
            path: The SQLite file; None for one in memory, for this object alone.
            clock: Seconds since 1970; processes compare leases by it.
        """
        self._path = path
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._using = asyncio.Lock()
        self._answer_event = anyio.Event()
        self._renewal_times: dict[str, float] = {}

    async def _run(self, statements: Callable[[sqlite3.Connection], T]) -> T:
        def work() -> T:
            if self._connection is None:
                self._connection = self._open()
            return statements(self._connection)

        try:
            async with self._using:
                return await anyio.to_thread.run_sync(work)
        except (sqlite3.Error, OSError) as error:
            place = self._path or Path("memory")
            loss = "Questions that are open are asked again"
            raise DatabaseFailure(database_sentence(place, error, loss)) from error

    def _open(self) -> sqlite3.Connection:
        connection = open_shared(self._path)
        try:
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN IMMEDIATE")
            columns = connection.execute(_COLUMNS).fetchall()
            for name, statement in _ADD_COLUMNS.items():
                if (name,) not in columns:
                    connection.execute(statement)
            connection.execute(_FORGET_OLD, {"before": self._clock() - LONGEST_KEPT_S})
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    async def add(self, request: ModelRequest, asker: str = "") -> str:
        """Add a request to the queue, unless it is there already; return the order's id."""
        digest, sample = request_key(request, HOST)
        now_s = self._clock()
        row = {
            "id": secrets.token_hex(4),
            "request_hash": digest,
            "sample": sample,
            "body": _body(request),
            "now": now_s,
            "until": now_s + WAITER_LEASE_S,
            "asker": asker,
        }
        return await self._run(lambda sql: str(sql.execute(_ADD, row).fetchone()[0]))

    async def take(
        self, limit: int, taker: str = "", lease_s: float = LEASE_S
    ) -> tuple[WorkOrder, ...]:
        """Take the oldest open orders; those not answered in time go to the next taker.

        Args:
            limit: The most orders to take.
            taker: The client that takes them. They are kept while it gives heartbeats, and given
                back when it disconnects. Empty if it is not known.
            lease_s: How long they are kept without a heartbeat.
        """
        now_s = self._clock()
        row = {"now": now_s, "until": now_s + lease_s, "most": limit, "taker": taker}
        rows = await self._run(lambda sql: sql.execute(_TAKE, row).fetchall())
        if rows and taker:
            self._renewal_times[taker] = now_s
        return tuple(_order(order_id, body) for order_id, body in rows)

    async def renew(self, taker: str) -> None:
        """Extend the lease of a client's orders after a heartbeat."""
        now_s = self._clock()
        if taker not in self._renewal_times or now_s - self._renewal_times[taker] < RENEW_EVERY_S:
            return
        self._renewal_times[taker] = now_s
        row = {"taker": taker, "now": now_s, "until": now_s + LEASE_S}
        await self._run(lambda sql: sql.execute(_RENEW, row))

    async def give_back(self, taker: str) -> None:
        """Put a client's unanswered orders back on the queue, because it has disconnected."""
        if self._renewal_times.pop(taker, None) is not None:
            await self._run(lambda sql: sql.execute(_GIVE_BACK, {"taker": taker}))

    async def answer(self, order_id: str, text: str) -> str | None:
        """Answer an order; return why the answer cannot be used, None if it is accepted.

        Raises:
            UnknownOrder: No open order has this id.
        """
        row = {"id": order_id, "answer": text}
        record: Sequence[str] | None = await self._run(
            lambda sql: sql.execute(_BODY, row).fetchone()
        )
        if record is None:
            raise UnknownOrder(order_id)
        order = _order(order_id, record[0])
        request = ModelRequest(HOST, order.messages, schema=order.schema, choices=order.choices)
        _, problem = await fit(ModelAnswer(text), request)
        if problem is None and not text.strip():
            problem = "the answer is empty"
        if problem is None:
            await self._run(lambda sql: sql.execute(_ANSWER, row))
            self._answer_event.set()
            self._answer_event = anyio.Event()
        return problem

    async def wait_for(self, order_id: str) -> str:
        """Wait for the answer to an order, then remove the order.

        An order that no process waits for is not handed out. If a client has it already, its answer
        is kept for the next process that asks the same.
        """
        row = {"id": order_id}
        said_at = self._clock()
        try:
            while True:
                answer_event = self._answer_event
                record = await self._run(lambda sql: sql.execute(_READ, row).fetchone())
                if record is not None and record[0] is not None:
                    await self._run(lambda sql: sql.execute(_FORGET, row))
                    return str(record[0])
                if not 0 <= self._clock() - said_at < RENEW_EVERY_S:
                    said_at = self._clock()
                    await self._extend_wait(order_id, said_at + WAITER_LEASE_S)
                with anyio.move_on_after(POLL_S):  # another process may receive the answer
                    await answer_event.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(LONGEST_CANCEL_S, shield=True):
                await self._extend_wait(order_id, 0.0)
            raise

    async def _extend_wait(self, order_id: str, until: float) -> None:
        row: dict[str, str | float] = {"id": order_id, "until": until}
        await self._run(lambda sql: sql.execute(_STILL_WAITED_FOR, row))

    async def open_count(self, asker: str = "*") -> int:
        """Return how many orders wait for an answer; `asker` may hold `*` as in file names."""
        row: dict[str, str | float] = {"now": self._clock(), "asker": asker}
        return int(await self._run(lambda sql: sql.execute(_OPEN, row).fetchone()[0]))

    async def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
