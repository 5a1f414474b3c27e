"""Progress of a call, passed on to whoever listens."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

STILL_THERE: Final = 1e-6


SAY_AGAIN_S: Final = 5.0


ProgressReport = Callable[[float, float | None, str | None], Awaitable[None]]
"""Called with what is done, what there is in all (None: not known), and a sentence."""


async def report_nothing(done: float, total: float | None, message: str | None) -> None:
    """Report to nobody."""


class Relay:
    """Passes progress on, and between two reports the sentences that say what is waited for."""

    def __init__(self, report: ProgressReport, step: float = 0.0) -> None:
        """Set up.

        Args:
            report: Where all goes.
            step: By how much a sentence counts as progress, for those who want only higher numbers.
        """
        self._report = report
        self._step = step
        self._done = 0.0
        self._total: float | None = None
        self._said = ""
        self._said_at = 0.0

    async def report(self, done: float, total: float | None, message: str | None) -> None:
        """Pass progress on."""
        self._done, self._total = done, total
        await self._report(done, total, message)

    async def say(self, sentence: str) -> None:
        """Pass a sentence on, once for all calls that wait for the same."""
        now = time.monotonic()
        if sentence == self._said and now - self._said_at < SAY_AGAIN_S:
            return
        self._said, self._said_at = sentence, now
        self._done += self._step
        await self._report(self._done, self._total, sentence)
