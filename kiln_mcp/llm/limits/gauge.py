"""How many calls of one job are in flight, and how many its servers allow."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from kiln_mcp.llm.limits.shared_limits import UNLIMITED


class LimitedServer(Protocol):
    """The way to one server."""

    @property
    def in_flight(self) -> int:
        """How many requests of all jobs it has let through."""
        ...

    @property
    def concurrency(self) -> int:
        """How many requests the server allows at once."""
        ...

    def width(self, model: str) -> int:
        """Return how many requests to a model it lets through at once now."""
        ...


class Gauge:
    """Counts the calls in flight of one job, or of one call at a door."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[LimitedServer, str]] = Counter()

    @contextmanager
    def call(self, rate_limiter: LimitedServer, model: str) -> Generator[None]:
        """Count a call while it is in flight."""
        self._calls[rate_limiter, model] += 1
        try:
            yield
        finally:
            self._calls[rate_limiter, model] -= 1
            if not self._calls[rate_limiter, model]:
                del self._calls[rate_limiter, model]

    @property
    def in_flight(self) -> int:
        """How many calls are in flight."""
        return self._calls.total()

    @property
    def width(self) -> int:
        """How many calls the servers allow at once now: those that are asked just now."""
        widths: Counter[LimitedServer] = Counter()
        for rate_limiter, model in self._calls:
            widths[rate_limiter] += rate_limiter.width(model)
        return sum(min(width, rate_limiter.concurrency) for rate_limiter, width in widths.items())

    @property
    def sentence(self) -> str:
        """The calls in flight as a sentence; "" if there are none."""
        if not self._calls:
            return ""
        own, width = self.in_flight, self.width
        servers = {server for server, _ in self._calls}
        other_calls = sum(server.in_flight for server in servers) - own
        rest = f", and {other_calls} of other jobs" if other_calls > 0 else ""
        return f"{own}{f' of {width}' if width < UNLIMITED else ''} calls in flight{rest}."
