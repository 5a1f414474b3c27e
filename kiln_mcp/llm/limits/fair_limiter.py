"""A limit of requests at once that jobs share: the job with the fewest in flight goes first."""

from collections import Counter, deque
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType

import anyio


@dataclass(eq=False, slots=True)
class _Turn:
    """A request that waits.

    Attributes:
        event: Set when its turn has come.
    """

    event: anyio.Event = field(default_factory=anyio.Event)


class FairLimiter:
    """Lets so many requests through at once, shared among jobs (max-min fairness).

    A job that is alone has all of it. A job that comes later gets each turn that falls free, until
    no job has more in flight than another. Requests of one job go in the order in which they came.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._total = 0
        self._in_flight: Counter[str] = Counter()
        self._waiting: dict[str, deque[_Turn]] = {}
        self._turns = count(1)
        self._last_turns: dict[str, int] = {}

    @property
    def in_flight(self) -> int:
        """How many requests of all jobs are let through now."""
        return self._total

    @property
    def capacity(self) -> int:
        """How many requests are let through at once."""
        return self._capacity

    @capacity.setter
    def capacity(self, capacity: int) -> None:
        self._capacity = capacity
        self._grant()

    def turn(self, job: str) -> "_HeldTurn":
        """Wait for a request's turn, and hold it.

        The task that leaves may be another one than the task that entered: streams are closed so.

        Args:
            job: The name of the job that asks.
        """
        return _HeldTurn(self, job)

    async def enter(self, job: str) -> None:
        """Wait for a request's turn, and take it; `leave` gives it back."""
        if self._waiting or self._total >= self._capacity:
            await self._wait(job)
        else:
            self._take(job)

    async def _wait(self, job: str) -> None:
        turn = _Turn()
        self._waiting.setdefault(job, deque()).append(turn)
        try:
            await turn.event.wait()
        except BaseException:
            if turn.event.is_set():
                self.leave(job)
            else:
                self._remove(job, turn)
            raise

    def _remove(self, job: str, turn: _Turn) -> None:
        turns = self._waiting[job]
        turns.remove(turn)
        if not turns:
            del self._waiting[job]
            self._forget(job)

    def _take(self, job: str) -> None:
        self._total += 1
        self._in_flight[job] += 1
        self._last_turns[job] = next(self._turns)

    def leave(self, job: str) -> None:
        """Give back a request's turn."""
        self._total -= 1
        self._in_flight[job] -= 1
        self._grant()
        self._forget(job)

    def _forget(self, job: str) -> None:
        """Forget a job that has nothing in flight and waits for nothing."""
        if not self._in_flight[job] and job not in self._waiting:
            self._in_flight.pop(job, None)
            self._last_turns.pop(job, None)

    def _grant(self) -> None:
        """Let through who waits, as far as there is room."""
        while self._waiting and self._total < self._capacity:
            job = min(self._waiting, key=self._rank)
            turn = self._waiting[job].popleft()
            if not self._waiting[job]:
                del self._waiting[job]
            self._take(job)
            turn.event.set()

    def _rank(self, job: str) -> tuple[int, int]:
        """Return what is lowest for the job whose turn it is."""
        return self._in_flight[job], self._last_turns.get(job, 0)


class _HeldTurn(AbstractAsyncContextManager[None]):
    """A request's turn for the time of the body. Each call has two, so it is no generator."""

    __slots__ = ("_job", "_limiter")

    def __init__(self, limiter: FairLimiter, job: str) -> None:
        self._limiter = limiter
        self._job = job

    async def __aenter__(self) -> None:
        await self._limiter.enter(self._job)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._limiter.leave(self._job)
