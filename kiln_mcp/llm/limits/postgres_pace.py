"""What the workers of a database have learned of a model together: how many at once, and pauses.

One row a model. A worker that is refused for being too fast narrows it for all, as a gate does for
one process (`limits.py`); whoever takes or gives back slots reads it on the way.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import Connection
from psycopg.rows import TupleRow

from kiln_mcp.llm.budget.wait_policy import LONGEST_ASKED_S

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
    """What this worker has learned and the others have not heard yet.

    Attributes:
        factor: By what the number of requests at once is multiplied.
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


class Learned:
    """What is learned of one model.

    Attributes:
        width: How many requests all workers together may make at once.
        asked_s: How long the model's server asked to wait, the last time.
    """

    def __init__(self, key: str, most: int, wake: Callable[[], None]) -> None:
        """Begin with the configured limit.

        Args:
            key: What the model is called on every machine.
            most: The configured number of requests at once.
            wake: Called when the others should hear of something at once.
        """
        self._wake = wake
        self.width = float(most)
        self.asked_s = 0.0
        self._key = key
        self._most = most
        self._news = NOTHING
        self._paused_until = 0.0
        self._seen_pause = 0.0
        self._read_at = 0.0
        self._made = False

    @property
    def is_urgent(self) -> bool:
        """Whether the others should hear at once."""
        return bool(self._news.pause_s) or self._news.factor < 1

    @property
    def has_news(self) -> bool:
        """Whether there is something that the others have not heard yet."""
        return self._news != NOTHING

    @property
    def is_due(self) -> bool:
        """Whether it is time to hear from the others, or to tell them."""
        return self.is_urgent or time.monotonic() - self._read_at >= READ_EVERY_S

    @property
    def pause_left(self) -> float:
        """Seconds to wait before the next request."""
        return self._paused_until - time.monotonic()

    def slow_down(self, factor: float, pause_s: float) -> None:
        """Learn that requests came too fast."""
        self._news += News(factor, pause_s)
        self._wake()

    def succeeded(self) -> None:
        """Learn that a request was answered."""
        if self.width < self._most:
            self._news += News(successes=1)

    def take_news(self) -> News:
        """Return what the others have not heard yet, and forget it."""
        news, self._news = self._news, NOTHING
        return news

    def put_back(self, news: News) -> None:
        """Keep what could not be told."""
        self._news += news

    def exchange(self, connection: Connection[TupleRow], news: News) -> TupleRow | None:
        """Tell the others and hear from them; blocks."""
        if not self._made:
            for statement in _TABLES:
                connection.execute(statement)
        values = {
            "gate": self._key,
            "most": float(self._most),
            "factor": news.factor,
            "pause_s": news.pause_s,
            "longest_s": LONGEST_ASKED_S,
            "successes": float(news.successes),
        }
        if news != NOTHING:
            connection.execute(_TELL, values)
        return connection.execute(_READ, values).fetchone()

    def hear(self, row: TupleRow | None) -> None:
        """Take what the others have learned."""
        self._made = True
        self._read_at = time.monotonic()
        if row is None:
            return
        width, self.asked_s, pause, left = row
        self.width = min(float(self._most), width)
        if pause != self._seen_pause:  # the database's clock may be set: it is asked once a pause
            self._seen_pause = pause
            self._paused_until = time.monotonic() + min(left, self.asked_s)
