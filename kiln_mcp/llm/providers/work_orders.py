"""Work orders: questions to the connected assistant, in the role of the model `host`.

They are kept in SQLite. So an order survives the process that waits for it, and an answer is found
whichever process holds the assistant's connection.
"""

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, LiteralString, TypeVar

import anyio
import anyio.to_thread

from kiln_mcp.errors import database_sentence
from kiln_mcp.llm.answer_schemas import fit
from kiln_mcp.llm.errors import BadAnswer, DatabaseFailure, UnknownOrder
from kiln_mcp.llm.messages import Message, ModelAnswer, ModelRequest
from kiln_mcp.llm.providers.order_batches import OrderBatch, WorkOrder, batches_of, within_size
from kiln_mcp.llm.response_cache.cache import request_key
from storage.sqlite_files import open_shared

HOST: Final = "host"
LEASE_S: Final = 300.0
"""Seconds of a lease."""
RENEW_EVERY_S: Final = 5.0
WAITER_LEASE_S: Final = 15.0
"""Seconds that an order is handed out after the last sign that a process waits for it."""
LONGEST_KEPT_S: Final = 30 * 86_400.0
MOST_ATTEMPTS: Final = 3
"""The answers to one order that are looked at; if none can be used, the item fails."""
MOST_ORDERS: Final = 500
"""The orders of which a client takes as many as fit into one answer."""
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
    attempts INTEGER NOT NULL DEFAULT 0,
    problem TEXT,
    answered_by TEXT NOT NULL DEFAULT '',
    UNIQUE (request_hash, sample)
) STRICT;
CREATE INDEX IF NOT EXISTS open_orders ON work_orders (put_at) WHERE answer IS NULL;
"""
_COLUMNS: Final[LiteralString] = "SELECT name FROM pragma_table_info('work_orders')"
_ADD_COLUMNS: Final[Mapping[str, LiteralString]] = {
    "taken_by": "ALTER TABLE work_orders ADD COLUMN taken_by TEXT NOT NULL DEFAULT ''",
    "asker": "ALTER TABLE work_orders ADD COLUMN asker TEXT NOT NULL DEFAULT ''",
    "attempts": "ALTER TABLE work_orders ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0",
    "problem": "ALTER TABLE work_orders ADD COLUMN problem TEXT",
    "answered_by": "ALTER TABLE work_orders ADD COLUMN answered_by TEXT NOT NULL DEFAULT ''",
}
_FORGET_OLD: Final[LiteralString] = "DELETE FROM work_orders WHERE put_at < :before"
_ADD: Final[LiteralString] = """
INSERT INTO work_orders (id, request_hash, sample, body, put_at, waited_for_until, asker)
VALUES (:id, :request_hash, :sample, :body, :now, :until, :asker)
ON CONFLICT (request_hash, sample)
DO UPDATE SET waited_for_until = excluded.waited_for_until, asker = excluded.asker
RETURNING id
"""
_TAKEABLE: Final[LiteralString] = """
    answer IS NULL AND waited_for_until >= :now AND asker GLOB :asker
    AND (leased_until < :now OR taken_by = :taker)
"""
"""A client is handed its own orders again: the answer that held them may never have arrived."""
_LIST_TAKEABLE: Final[LiteralString] = f"""
SELECT id, body, asker FROM work_orders WHERE {_TAKEABLE}
ORDER BY leased_until < :now, put_at, id LIMIT :most
"""  # noqa: S608 - of constants
_COUNT_TAKEABLE: Final[LiteralString] = f"""
SELECT count(*) FROM work_orders WHERE {_TAKEABLE}
"""  # noqa: S608 - of constants
_LEASE: Final[LiteralString] = """
UPDATE work_orders SET leased_until = :until, taken_by = :taker WHERE id = :id
"""
_GIVE_BACK: Final[LiteralString] = """
UPDATE work_orders SET leased_until = 0, taken_by = '' WHERE taken_by = :taker AND answer IS NULL
"""
_END_LEASES: Final[LiteralString] = """
UPDATE work_orders SET leased_until = 0 WHERE answer IS NULL AND leased_until > 0
"""
_BODY: Final[LiteralString] = """
SELECT body, asker FROM work_orders WHERE id = :id AND answer IS NULL
"""
_ANSWER: Final[LiteralString] = """
UPDATE work_orders SET answer = :answer, problem = NULL, answered_by = :client
WHERE id = :id AND answer IS NULL
"""
_REFUSE: Final[LiteralString] = """
UPDATE work_orders SET
    attempts = attempts + 1, answer = iif(attempts + 1 < :most, NULL, :answer), problem = :problem
WHERE id = :id AND answer IS NULL RETURNING attempts
"""
_READ: Final[LiteralString] = "SELECT answer, problem, answered_by FROM work_orders WHERE id = :id"
_STILL_WAITED_FOR: Final[LiteralString] = """
UPDATE work_orders SET waited_for_until = :until WHERE id = :id
"""
_FORGET: Final[LiteralString] = "DELETE FROM work_orders WHERE id = :id"
_OPEN: Final[LiteralString] = """
SELECT count(*) FROM work_orders
WHERE answer IS NULL AND waited_for_until >= :now AND asker GLOB :asker
"""

T = TypeVar("T")


@contextmanager
def _transaction(sql: sqlite3.Connection) -> Generator[None]:
    sql.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        sql.execute("ROLLBACK")
        raise
    sql.execute("COMMIT")


def _body(request: ModelRequest) -> str:
    messages = [(message.role, message.content) for message in request.messages]
    return json.dumps([messages, request.schema, request.choices], ensure_ascii=False)


def _order(order_id: str, body: str, asker: str) -> WorkOrder:
    texts, schema, choices = json.loads(body)
    messages = tuple(Message(role, text) for role, text in texts)
    return WorkOrder(order_id, messages, schema, tuple(choices), asker)


@dataclass(frozen=True, slots=True)
class Lease:
    """The time for which taken orders are kept from other clients.

    Attributes:
        taker: The client that takes them. Empty if it is not known; nothing is kept then.
        seconds: How long they are kept, unless the client disconnects before.
    """

    taker: str = ""
    seconds: float = LEASE_S


NO_LEASE: Final = Lease()


@dataclass(frozen=True, slots=True)
class OrderReply:
    """The answer to an order.

    Attributes:
        text: The answer.
        client: What the client that gave it calls itself; "" if it did not say.
    """

    text: str
    client: str


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
        self._takers: set[str] = set()

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
        self, size: int = 1, lease: Lease = NO_LEASE, asker: str = "*", count: int = MOST_ORDERS
    ) -> tuple[OrderBatch, ...]:
        """Take the oldest open orders, those that the client has already first.

        Args:
            size: The most characters of all orders together; one order is taken in any case.
            lease: Which client takes them, and for how long.
            asker: Whose orders; may hold `*` as in file names.
            count: The most orders.
        """
        now_s = self._clock()
        row: dict[str, str | float] = {
            "now": now_s,
            "until": now_s + lease.seconds,
            "taker": lease.taker,
            "asker": asker,
            "most": count,
        }

        def work(sql: sqlite3.Connection) -> tuple[OrderBatch, ...]:
            with _transaction(sql):
                orders = [_order(*record) for record in sql.execute(_LIST_TAKEABLE, row)]
                batches = within_size(batches_of(orders), size)
                leased_batches = batches if lease.taker else ()
                ids = [order_id for batch in leased_batches for order_id, _ in batch.items]
                sql.executemany(_LEASE, [{**row, "id": order_id} for order_id in ids])
            return batches

        batches = await self._run(work)
        if batches and lease.taker:
            self._takers.add(lease.taker)
        return batches

    async def takeable_count(self, taker: str = "", asker: str = "*") -> int:
        """Return how many orders a client could take now; `asker` may hold `*`."""
        row: dict[str, str | float] = {"now": self._clock(), "taker": taker, "asker": asker}
        return int(await self._run(lambda sql: sql.execute(_COUNT_TAKEABLE, row).fetchone()[0]))

    async def give_back(self, taker: str) -> None:
        """Put a client's unanswered orders back on the queue, because it has disconnected."""
        if taker in self._takers:
            self._takers.remove(taker)
            await self._run(lambda sql: sql.execute(_GIVE_BACK, {"taker": taker}))

    async def end_leases(self) -> None:
        """End all leases: the daemon that gave them ended before it saw which clients left.

        A client that still holds an order may answer it: the first answer counts.
        """
        if self._path is not None and await anyio.Path(self._path).exists():
            await self._run(lambda sql: sql.execute(_END_LEASES))

    async def find(self, order_id: str) -> WorkOrder:
        """Return an open order.

        Raises:
            UnknownOrder: No open order has this id.
        """
        row = {"id": order_id}
        record: Sequence[str] | None = await self._run(
            lambda sql: sql.execute(_BODY, row).fetchone()
        )
        if record is None:
            raise UnknownOrder(order_id)
        return _order(order_id, record[0], record[1])

    async def answer(self, order_id: str, text: str, client: str = "") -> str | None:
        """Answer the order of this id, as `answer_order` does.

        Raises:
            UnknownOrder: No open order has this id.
        """
        return await self.answer_order(await self.find(order_id), text, client)

    async def answer_order(self, order: WorkOrder, text: str, client: str = "") -> str | None:
        """Answer an order; return why the answer cannot be used, None if it is accepted.

        An order whose answers cannot be used is open again, until `MOST_ATTEMPTS` have failed.

        Args:
            order: The order.
            text: The answer.
            client: What the client calls itself; "" if it does not say.
        """
        request = ModelRequest(HOST, order.messages, schema=order.schema, choices=order.choices)
        _, problem = await fit(ModelAnswer(text), request)
        if problem is None and not text.strip():
            problem = "the answer is empty"
        if problem is None:
            row = {"id": order.id, "answer": text, "client": client}
            await self._run(lambda sql: sql.execute(_ANSWER, row))
        elif await self._refuse(order.id, text, problem) < MOST_ATTEMPTS:
            return problem
        self._answer_event.set()
        self._answer_event = anyio.Event()
        return None if problem is None else f"{problem}; the last attempt: the item has failed"

    async def _refuse(self, order_id: str, text: str, problem: str) -> int:
        """Record an answer that cannot be used; return how many there were."""
        row = {"id": order_id, "answer": text, "problem": problem, "most": MOST_ATTEMPTS}
        record: Sequence[int] | None = await self._run(
            lambda sql: sql.execute(_REFUSE, row).fetchone()
        )
        return MOST_ATTEMPTS if record is None else record[0]

    async def wait_for(self, order_id: str) -> OrderReply:
        """Wait for the answer to an order, then remove the order.

        Raises:
            BadAnswer: No answer of the assistant could be used.

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
                    if record[1] is not None:
                        raise BadAnswer(HOST, record[1], MOST_ATTEMPTS)
                    return OrderReply(str(record[0]), str(record[2]))
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
