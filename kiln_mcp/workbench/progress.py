"""The progress of a call, passed on to its listener."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from kiln_mcp.llm.limits.gauge import Gauge

STILL_THERE: Final = 1e-6
"""By how much a sentence counts as progress for listeners that want only higher numbers."""
SAY_AGAIN_S: Final = 5.0
"""The same sentence is repeated only after so many seconds."""

ProgressReport = Callable[[float, float | None, str | None], Awaitable[None]]
"""Called with the amount that is done, the whole amount (None if unknown), and a sentence."""


async def report_nothing(done: float, total: float | None, message: str | None) -> None:
    """Report to nobody."""


class Relay:
    """Passes progress on, with the calls in flight, and between two reports why models wait.

    Attributes:
        gauge: Counts the calls in flight.
    """

    def __init__(self, report: ProgressReport, step: float = 0.0) -> None:
        """Set up.

        Args:
            report: Where everything goes.
            step: By how much a sentence counts as progress.
        """
        self.gauge = Gauge()
        self._report = report
        self._step = step
        self._done = 0.0
        self._total: float | None = None
        self._sentence = ""
        self._sentence_s = 0.0

    async def report(self, done: float, total: float | None, message: str | None) -> None:
        """Pass progress on."""
        self._done, self._total = done, total
        if message and (calls := self.gauge.sentence):
            message = f"{message.removesuffix('.')}. {calls}"
        await self._report(done, total, message)

    async def say(self, sentence: str) -> None:
        """Pass a sentence on, once for all calls that wait for the same thing."""
        now_s = time.monotonic()
        if sentence == self._sentence and now_s - self._sentence_s < SAY_AGAIN_S:
            return
        self._sentence, self._sentence_s = sentence, now_s
        self._done += self._step
        await self._report(self._done, self._total, sentence)
