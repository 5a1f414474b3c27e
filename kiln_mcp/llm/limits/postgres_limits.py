"""Limits that hold for all workers of a Postgres database together.

A slot is an advisory lock of the database session. When a worker is killed, its session ends and
the database frees its slots, with no lease to wait for and no clock to trust. Requests and tokens
per minute are one token bucket for each server: a row, filled by the database's clock. A model that
was refused for being too fast may take the slots of low numbers only.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, LiteralString

import anyio.to_thread
from psycopg import Connection
from psycopg.rows import TupleRow

from kiln_mcp.llm.errors import DatabaseFailure
from kiln_mcp.llm.limits.postgres_learned_limits import News, PostgresLearnedLimits
from kiln_mcp.llm.limits.shared_limits import ServerLimits, Slot
from kiln_mcp.llm.limits.token_bucket import BURST_S
from kiln_mcp.llm.postgres_connection import PostgresLink

LONGEST_HELD_S: Final = 2.0
"""After so long a slot goes back, so that every worker gets its turn."""
POLL_S: Final = 0.04
RETRY_S: Final = 1.0

_TABLES: Final[tuple[LiteralString, ...]] = (
    "SELECT pg_advisory_xact_lock(7355610)",
    """
    CREATE TABLE IF NOT EXISTS kiln_rates (
        gate TEXT PRIMARY KEY,
        requests DOUBLE PRECISION NOT NULL,
        tokens DOUBLE PRECISION NOT NULL,
        filled_at TIMESTAMPTZ NOT NULL
    )
    """,
)
_LOCK: Final[LiteralString] = """
SELECT number FROM unnest(%(numbers)s::int[]) AS number
WHERE pg_try_advisory_lock(%(gate)s, number) LIMIT %(most)s
"""
_UNLOCK: Final[LiteralString] = """
SELECT pg_advisory_unlock(%(gate)s, number) FROM unnest(%(numbers)s::int[]) AS number
"""
# A clock that was changed gives one burst too much at most.
_TAKE: Final[LiteralString] = """
INSERT INTO kiln_rates AS known (gate, requests, tokens, filled_at)
VALUES (%(gate)s, %(most_requests)s - 1, %(most_tokens)s - %(tokens)s, clock_timestamp())
ON CONFLICT (gate) DO UPDATE SET
    requests = least(%(most_requests)s, known.requests + %(requests_s)s
        * greatest(0, extract(epoch FROM clock_timestamp() - known.filled_at))) - 1,
    tokens = least(%(most_tokens)s, known.tokens + %(tokens_s)s
        * greatest(0, extract(epoch FROM clock_timestamp() - known.filled_at))) - %(tokens)s,
    filled_at = clock_timestamp()
RETURNING requests, tokens
"""

_log = logging.getLogger(__name__)


class PostgresLimits:
    """The limits of all servers, over one connection."""

    def __init__(self, url: str) -> None:
        """Name the database, without any contact."""
        self._link = PostgresLink(url, "limits")
        self._limits: list[PostgresLimit] = []

    def of(self, key: str, limits: ServerLimits) -> "PostgresLimit":
        """Return the limit of a server."""
        limit = PostgresLimit(self._link, key, limits)
        self._limits.append(limit)
        return limit

    async def close(self) -> None:
        """Give back what this process holds."""
        for limit in self._limits:
            await limit.close()
        await anyio.to_thread.run_sync(self._link.close)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A request that waits for a slot."""

    pace: PostgresLearnedLimits
    slot: asyncio.Future[Slot]


class PostgresLimit:
    """What all workers together may ask of one server."""

    def __init__(self, link: PostgresLink, key: str, limits: ServerLimits) -> None:
        self._link = link
        self._rates = _Rates(link, key, limits)
        self._key = key
        self._concurrency = limits.concurrency
        self._paces: dict[str, PostgresLearnedLimits] = {}
        self._lock_number = int.from_bytes(
            blake2b(key.encode(), digest_size=4).digest(), signed=True
        )
        self._slots: dict[int, Slot] = {}
        self._free: list[Slot] = []
        self._waiting: deque[_Turn] = deque()
        self._woken = asyncio.Event()
        self._demand = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    async def take(self, tokens: int) -> float:
        """Count a request of about so many tokens; return the seconds to wait before it."""
        return await self._rates.take(tokens)

    def give_back(self, tokens: int) -> None:
        """Count tokens that were taken and not used; a negative number takes more."""
        self._rates.give_back(tokens)

    def pace(self, model: str) -> PostgresLearnedLimits:
        """Return what is learned of one of its models."""
        if model not in self._paces:
            self._paces[model] = PostgresLearnedLimits(
                f"{self._key} {model}", self._concurrency, self._wake
            )
        return self._paces[model]

    async def enter(self, model: str) -> Slot:
        """Wait for a free slot that a model may have, and take it."""
        pace = self.pace(model)
        if self._free and not self._waiting and self._is_for(pace, self._free[-1]):
            return self._free.pop()
        turn = _Turn(pace, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        self._demand.set()
        self._wake()
        try:
            return await turn.slot
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not turn.slot.cancelled():
                self.leave(turn.slot.result())
            raise

    def leave(self, slot: Slot) -> None:
        """Give a slot to the next request that waits here, or back to all workers."""
        if self._slots.get(slot.number) is not slot:
            return  # its connection broke, and the slot may be another worker's by now
        if not self._hand(slot):
            self._free.append(slot)
        self._wake()

    def _is_for(self, pace: PostgresLearnedLimits, slot: Slot) -> bool:
        is_within = slot.number < int(pace.width)
        return is_within and time.monotonic() - slot.since < LONGEST_HELD_S

    def _hand(self, slot: Slot) -> bool:
        """Give a slot to the first request that waits here and may have it."""
        for turn in tuple(self._waiting):
            if turn.slot.done():
                self._waiting.remove(turn)
            elif self._is_for(turn.pace, slot):
                self._waiting.remove(turn)
                turn.slot.set_result(slot)
                return True
        return False

    def _wake(self) -> None:
        self._woken.set()
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep())

    @property
    def _is_urgent(self) -> bool:
        return any(pace.is_urgent for pace in self._paces.values())

    async def _keep(self) -> None:
        """Take slots while requests wait, and give back those that none needs any more."""
        while self._waiting or self._slots or self._is_urgent:
            self._woken.clear()
            self._demand.clear()
            pause = POLL_S * random.uniform(0.5, 1.5)
            try:
                if await self._exchange():
                    continue
            except DatabaseFailure as error:
                _log.warning("No slot can be had, next try in %s s: %s", RETRY_S, error)
                pause = RETRY_S
            if self._waiting:  # other workers have them all, or it is their turn
                await asyncio.sleep(pause)
                continue
            if self._slots and not self._free:
                await self._woken.wait()
            if not self._waiting:  # the next request will come soon and find its slot still here
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._demand.wait()
        self._keeping = None

    async def _exchange(self) -> bool:
        """Give back free slots, or else take slots; return whether all requests got one."""
        # A slot that is given back is not taken again at once: others have been waiting.
        back, self._free = self._free, []
        paces = [] if back else [turn.pace for turn in self._waiting]
        for slot in back:
            del self._slots[slot.number]
        if not back and not paces and not self._is_urgent:
            return False
        due = [pace for pace in self._paces.values() if pace.is_due]
        news = {pace: pace.take_news() for pace in due if pace.has_news or pace in paces}
        try:
            numbers, session = await anyio.to_thread.run_sync(
                self._exchange_slots, [slot.number for slot in back], paces, news
            )
        except DatabaseFailure:
            for pace, report in news.items():
                pace.restore_news(report)
            raise
        for number in [number for number, slot in self._slots.items() if slot.session != session]:
            del self._slots[number]
        for number in numbers:
            slot = self._slots[number] = Slot(number, time.monotonic(), session)
            if not self._hand(slot):
                self._free.append(slot)
        return 0 < len(paces) == len(numbers)

    def _exchange_slots(
        self,
        back: Sequence[int],
        paces: Sequence[PostgresLearnedLimits],
        news: Mapping[PostgresLearnedLimits, News],
    ) -> tuple[list[int], int]:
        """Exchange slots and news with the database, in a thread.

        Args:
            back: The slots to give back.
            paces: The model of each request that waits for a slot.
            news: The news of each model that is due.

        Returns:
            The numbers of the new slots, and the connection's session.
        """

        def exchange(connection: Connection[TupleRow]) -> list[int]:
            if back:
                connection.execute(_UNLOCK, {"gate": self._lock_number, "numbers": list(back)})
            for pace, report in news.items():
                pace.hear(pace.exchange(connection, report))
            width = max((int(pace.width) for pace in paces), default=0)
            candidates = [number for number in range(width) if number not in self._slots]
            random.shuffle(candidates)
            if not candidates:
                return []
            values = {"gate": self._lock_number, "numbers": candidates, "most": len(paces)}
            return [row[0] for row in connection.execute(_LOCK, values).fetchall()]

        return self._link.run(exchange), self._link.session

    async def close(self) -> None:
        """End the keeper; the connection frees the slots when it is closed."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)


class _Rates:
    """Requests and tokens per minute of all workers together."""

    def __init__(self, link: PostgresLink, key: str, limits: ServerLimits) -> None:
        self._link = link
        self._has_limits = bool(limits.requests_per_minute or limits.tokens_per_minute)
        self._requests_s = (limits.requests_per_minute or 0) / 60
        self._tokens_s = (limits.tokens_per_minute or 0) / 60
        self._values = {
            "gate": key,
            "requests_s": self._requests_s,
            "tokens_s": self._tokens_s,
            "most_requests": max(1.0, self._requests_s * BURST_S),
            "most_tokens": max(1.0, self._tokens_s * BURST_S),
        }
        self._debt = 0
        self._has_table = False

    async def take(self, tokens: int) -> float:
        if not self._has_limits:
            return 0.0
        amount, self._debt = tokens - self._debt, 0
        return await anyio.to_thread.run_sync(self._take, amount)

    def give_back(self, tokens: int) -> None:
        self._debt += tokens  # the next request pays it

    def _take(self, tokens: int) -> float:
        def take(connection: Connection[TupleRow]) -> tuple[float, float]:
            if not self._has_table:
                for statement in _TABLES:
                    connection.execute(statement)
            cursor = connection.execute(_TAKE, {**self._values, "tokens": tokens})
            [requests, tokens_left] = cursor.fetchone() or (0.0, 0.0)
            return requests, tokens_left

        requests, tokens_left = self._link.run(take)
        self._has_table = True
        waits = [0.0]
        if self._requests_s:
            waits.append(-requests / self._requests_s)
        if self._tokens_s:
            waits.append(-tokens_left / self._tokens_s)
        return max(waits)
