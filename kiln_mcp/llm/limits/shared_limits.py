"""The limits of a server, and what workers of one database share to keep them together."""

from dataclasses import dataclass
from typing import Final, Protocol

UNLIMITED: Final = 1_000_000
"""The concurrency of models that need no limit."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The configured limits of a server; None for no limit."""

    concurrency: int = 16
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """The right to one request at a time, of those that all workers have together.

    Attributes:
        number: Which of them.
        since: When this process got it, by the monotonic clock.
        session: The number of the connection that holds it.
    """

    number: int
    since: float
    session: int


class SharedLearnedLimits(Protocol):
    """What all workers together have learned of one model."""

    @property
    def width(self) -> float:
        """How many requests all of them may make at once just now."""
        ...

    @property
    def asked_s(self) -> float:
        """How long the model's server last asked any of them to wait."""
        ...

    @property
    def pause_left(self) -> float:
        """Seconds of that wait that remain; 0 or less for none."""
        ...

    def slow_down(self, factor: float, pause_s: float) -> None:
        """Tell all that requests came too fast.

        Args:
            factor: Multiplies the number of requests at once; 1 for a pause alone.
            pause_s: How long the server asked to wait.
        """
        ...

    def record_success(self) -> None:
        """Tell all that a request was answered."""
        ...


class SharedLimit(Protocol):
    """What all workers together may ask of one server."""

    def pace(self, model: str) -> SharedLearnedLimits:
        """Return what is learned of one of its models."""
        ...

    async def enter(self, model: str) -> Slot:
        """Wait for a free slot that a model may have, and take it."""
        ...

    def leave(self, slot: Slot) -> None:
        """Give a slot back."""
        ...

    async def take(self, tokens: int) -> float:
        """Count a request by its estimated tokens; return the seconds to wait before it."""
        ...

    def give_back(self, tokens: int) -> None:
        """Return tokens that were taken and not used; a negative number takes more."""
        ...


class SharedLimits(Protocol):
    """The limits that all workers of a shared database keep together."""

    def of(self, key: str, limits: ServerLimits) -> SharedLimit:
        """Return the limit of a server, by its name on every machine."""
        ...

    async def close(self) -> None:
        """Give back what this process holds."""
        ...
