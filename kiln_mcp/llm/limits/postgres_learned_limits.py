"""The limits that all workers of a database have learned of a model: concurrency and pauses.

There is one row for each model. A worker that is refused for being too fast narrows it for all, as
a rate limiter does for one process. Every exchange of slots reads it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import Connection
from psycopg.rows import TupleRow

from kiln_mcp.llm.limits.wait_policy import LONGEST_ASKED_S

READ_EVERY_S: Final = 0.25

_TABLES: Final[tuple[LiteralString, ...]] = (
    "SELECT pg_advisory_xact_lock(7355611)",
    """
    CREATE TABLE IF NOT EXISTS kiln_learned (
        gate TEXT PRIMARY KEY,
        width DOUBLE PRECISION NOT NULL,
        asked_s DOUBLE PRECISION NOT NULL,
        paused_until TIMESTAMPTZ NOT NULL
    )
    """,
)
_TELL: Final[LiteralString] = """
INSERT INTO kiln_learned AS known (gate, width, asked_s, paused_until)
VALUES (%(gate)s, greatest(1, %(most)s * %(factor)s), %(pause_s)s,
    clock_timestamp() + make_interval(secs => least(%(pause_s)s, %(longest_s)s)))
ON CONFLICT (gate) DO UPDATE SET
    width = greatest(1, least(%(most)s,
        known.width * %(factor)s + %(successes)s / greatest(1, known.width))),
    asked_s = CASE WHEN excluded.paused_until > known.paused_until
        THEN excluded.asked_s ELSE known.asked_s END,
    paused_until = greatest(known.paused_until, excluded.paused_until)
"""
_READ: Final[LiteralString] = """
SELECT width, asked_s, extract(epoch FROM paused_until)::float8,
    extract(epoch FROM paused_until - clock_timestamp())::float8
FROM kiln_learned WHERE gate = %(gate)s
"""


@dataclass(frozen=True, slots=True)
class News:
    """What this worker has learned and the others have not read yet.

    Attributes:
        factor: Multiplies the number of requests at once.
        pause_s: How long the model's server asked to wait.
        successes: How many requests were answered.
    """

    factor: float = 1.0
    pause_s: float = 0.0
    successes: int = 0

    def __add__(self, other: "News") -> "News":
        return News(
            self.factor * other.factor,
            max(self.pause_s, other.pause_s),
            self.successes + other.successes,
        )


NOTHING: Final = News()


class PostgresLearnedLimits:
    """The learned limits of one model.

    Attributes:
        width: How many requests all workers together may make at once.
        asked_s: How long the model's server last asked to wait.
    """

    def __init__(self, key: str, concurrency: int, wake: Callable[[], None]) -> None:
        """Begin with the configured limit.

        Args:
            key: The model's name on every machine.
            concurrency: The configured number of requests at once.
            wake: Called when the others should read news at once.
        """
        self._wake = wake
        self.width = float(concurrency)
        self.asked_s = 0.0
        self._key = key
        self._concurrency = concurrency
        self._news = NOTHING
        self._paused_until = 0.0
        self._seen_pause = 0.0
        self._read_at = 0.0
        self._has_table = False

    @property
    def is_urgent(self) -> bool:
        """Whether the others should read the news at once."""
        return bool(self._news.pause_s) or self._news.factor < 1

    @property
    def has_news(self) -> bool:
        """Whether there is something that the others have not read yet."""
        return self._news != NOTHING

    @property
    def is_due(self) -> bool:
        """Whether it is time to exchange news."""
        return self.is_urgent or time.monotonic() - self._read_at >= READ_EVERY_S

    @property
    def pause_left(self) -> float:
        """Seconds to wait before the next request."""
        return self._paused_until - time.monotonic()

    def slow_down(self, factor: float, pause_s: float) -> None:
        """Learn that requests came too fast."""
        self._news += News(factor, pause_s)
        self._wake()

    def record_success(self) -> None:
        """Learn that a request was answered."""
        if self.width < self._concurrency:
            self._news += News(successes=1)

    def take_news(self) -> News:
        """Return the news and forget it."""
        news, self._news = self._news, NOTHING
        return news

    def restore_news(self, news: News) -> None:
        """Keep news that could not be written."""
        self._news += news

    def exchange(self, connection: Connection[TupleRow], news: News) -> TupleRow | None:
        """Write the news and read the row; blocks."""
        if not self._has_table:
            for statement in _TABLES:
                connection.execute(statement)
        values = {
            "gate": self._key,
            "most": float(self._concurrency),
            "factor": news.factor,
            "pause_s": news.pause_s,
            "longest_s": LONGEST_ASKED_S,
            "successes": float(news.successes),
        }
        if news != NOTHING:
            connection.execute(_TELL, values)
        return connection.execute(_READ, values).fetchone()

    def hear(self, row: TupleRow | None) -> None:
        """Take the limits in the row."""
        self._has_table = True
        self._read_at = time.monotonic()
        if row is None:
            return
        width, self.asked_s, pause, remaining_s = row
        self.width = min(float(self._concurrency), width)
        if (
            pause != self._seen_pause
        ):  # the database's clock may change: it is read once for each pause
            self._seen_pause = pause
            self._paused_until = time.monotonic() + min(remaining_s, self.asked_s)
