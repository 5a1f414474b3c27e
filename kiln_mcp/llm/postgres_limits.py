"""Limits that hold for all workers of a Postgres database together.

A slot is an advisory lock of the database session: when a worker is killed, its session ends and
the database frees its slots, with no lease to wait for and no clock to trust. Requests and tokens
a minute are one token bucket a model, in a row, filled by the database's clock.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Final, LiteralString

import anyio.to_thread
from psycopg import Connection
from psycopg.rows import TupleRow

from kiln_mcp.llm.errors import SharedDatabaseFailed
from kiln_mcp.llm.limits import BURST_S, Limits, Slot
from kiln_mcp.llm.postgres import PostgresLink
from kiln_mcp.llm.postgres_learned import Learned, News

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
# A clock that was set, forward or back, gives one burst too much at most.
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
    """The limits of all models, over one connection."""

    def __init__(self, url: str) -> None:
        """Name the database, without any contact."""
        self._link = PostgresLink(url, "limits")
        self._limits: list[PostgresLimit] = []

    def of(self, key: str, limits: Limits) -> "PostgresLimit":
        """Return the limit of a model."""
        limit = PostgresLimit(self._link, key, limits)
        self._limits.append(limit)
        return limit

    async def close(self) -> None:
        """Give back what this process holds."""
        for limit in self._limits:
            await limit.close()
        await anyio.to_thread.run_sync(self._link.close)


class PostgresLimit:
    """What all workers together may ask of one model."""

    def __init__(self, link: PostgresLink, key: str, limits: Limits) -> None:
        self._link = link
        self._rates = _Rates(link, key, limits)
        self._learned = Learned(key, limits.concurrency)
        self._gate = int.from_bytes(blake2b(key.encode(), digest_size=4).digest(), signed=True)
        self._held: dict[int, Slot] = {}
        self._free: list[Slot] = []
        self._waiting: deque[asyncio.Future[Slot]] = deque()
        self._woken = asyncio.Event()
        self._wanted = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    async def take(self, tokens: int) -> float:
        """Count a request of about so many tokens; return the seconds to wait before it."""
        return await self._rates.take(tokens)

    def give_back(self, tokens: int) -> None:
        """Count tokens that were taken and not used; a negative number takes more."""
        self._rates.give_back(tokens)

    @property
    def width(self) -> float:
        """How many requests all workers together may make at once just now."""
        return self._learned.width

    @property
    def asked_s(self) -> float:
        """How long the model's server asked any of them to wait, the last time."""
        return self._learned.asked_s

    @property
    def pause_left(self) -> float:
        """Seconds to wait for that from now on; 0 or less for none."""
        return self._learned.pause_left

    def slow_down(self, factor: float, pause_s: float) -> None:
        """Tell all workers that requests came too fast."""
        self._learned.slow_down(factor, pause_s)
        self._wake()

    def succeeded(self) -> None:
        """Tell all workers that a request was answered."""
        self._learned.succeeded()

    async def enter(self) -> Slot:
        """Wait for a free slot, and take it."""
        if self._free and not self._waiting and self._is_fresh(self._free[-1]):
            return self._free.pop()
        turn: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._wanted.set()
        self._wake()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not turn.cancelled():
                self.leave(turn.result())
            raise

    def leave(self, slot: Slot) -> None:
        """Give a slot to the next who waits here, or back to all."""
        if self._held.get(slot.number) is not slot:
            return  # its connection broke, and the slot may be another worker's by now
        if not (self._is_fresh(slot) and self._hand(slot)):
            self._free.append(slot)
        self._wake()

    def _is_fresh(self, slot: Slot) -> bool:
        is_within = slot.number < int(self._learned.width)
        return is_within and time.monotonic() - slot.since < LONGEST_HELD_S

    def _hand(self, slot: Slot) -> bool:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(slot)
                return True
        return False

    def _wake(self) -> None:
        self._woken.set()
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        """Take slots while somebody waits, and give back those that nobody needs any more."""
        while self._waiting or self._held or self._learned.is_urgent:
            self._woken.clear()
            self._wanted.clear()
            pause = POLL_S * random.uniform(0.5, 1.5)
            try:
                if await self._exchange():
                    continue
            except SharedDatabaseFailed as error:
                _log.warning("No slot can be had, next try in %s s: %s", RETRY_S, error)
                pause = RETRY_S
            if self._waiting:  # other workers have them all, or it is their turn
                await asyncio.sleep(pause)
                continue
            if self._held and not self._free:
                await self._woken.wait()
            if not self._waiting:  # the next request will come soon and find its slot still here
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wanted.wait()
        self._keeping = None

    async def _exchange(self) -> bool:
        """Give back what is free, or else take what is wanted; return whether all was had."""
        # A slot that is given back is not taken again at once: others have been waiting.
        back, self._free = self._free, []
        wanted = 0 if back else len(self._waiting)
        for slot in back:
            del self._held[slot.number]
        if not back and not wanted and not self._learned.is_urgent:
            return False
        news = self._learned.take_news() if self._learned.is_due else None
        try:
            got, session = await anyio.to_thread.run_sync(
                self._exchanged, [slot.number for slot in back], wanted, news
            )
        except SharedDatabaseFailed:
            self._learned.put_back(news or News())
            raise
        for number in [number for number, slot in self._held.items() if slot.session != session]:
            del self._held[number]
        for number in got:
            slot = self._held[number] = Slot(number, time.monotonic(), session)
            if not self._hand(slot):
                self._free.append(slot)
        return 0 < wanted == len(got)

    def _exchanged(
        self, back: Sequence[int], wanted: int, news: News | None
    ) -> tuple[list[int], int]:
        """Do it, in a thread; `news` is None where it is not yet time to exchange any."""

        def exchange(connection: Connection[TupleRow]) -> list[int]:
            if back:
                connection.execute(_UNLOCK, {"gate": self._gate, "numbers": list(back)})
            if news is not None:
                self._learned.hear(self._learned.exchange(connection, news))
            others = [number for number in range(int(self.width)) if number not in self._held]
            random.shuffle(others)
            if not wanted or not others:
                return []
            asked = {"gate": self._gate, "numbers": others, "most": wanted}
            return [row[0] for row in connection.execute(_LOCK, asked).fetchall()]

        return self._link.run(exchange), self._link.session

    async def close(self) -> None:
        """End the keeper; the connection frees the slots when it is closed."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)


class _Rates:
    """Requests and tokens a minute, of all workers together."""

    def __init__(self, link: PostgresLink, key: str, limits: Limits) -> None:
        self._link = link
        self._limited = bool(limits.requests_per_minute or limits.tokens_per_minute)
        self._requests_s = (limits.requests_per_minute or 0) / 60
        self._tokens_s = (limits.tokens_per_minute or 0) / 60
        self._values = {
            "gate": key,
            "requests_s": self._requests_s,
            "tokens_s": self._tokens_s,
            "most_requests": max(1.0, self._requests_s * BURST_S),
            "most_tokens": max(1.0, self._tokens_s * BURST_S),
        }
        self._owed = 0
        self._made = False

    async def take(self, tokens: int) -> float:
        if not self._limited:
            return 0.0
        taken, self._owed = tokens - self._owed, 0
        return await anyio.to_thread.run_sync(self._take, taken)

    def give_back(self, tokens: int) -> None:
        self._owed += tokens  # by the next that is taken

    def _take(self, tokens: int) -> float:
        def take(connection: Connection[TupleRow]) -> tuple[float, float]:
            if not self._made:
                for statement in _TABLES:
                    connection.execute(statement)
            taken = connection.execute(_TAKE, {**self._values, "tokens": tokens})
            [requests, left] = taken.fetchone() or (0.0, 0.0)
            return requests, left

        requests, left = self._link.run(take)
        self._made = True
        waits = [0.0]
        if self._requests_s:
            waits.append(-requests / self._requests_s)
        if self._tokens_s:
            waits.append(-left / self._tokens_s)
        return max(waits)
