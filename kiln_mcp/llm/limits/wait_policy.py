"""How long a call waits before it is sent, and who is told."""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from kiln_mcp.llm.budget.budget import Budget
from kiln_mcp.llm.durations import duration
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.limits.gauge import Gauge

SHORTEST_NOTICE_S: Final = 2.0
"""The listener is not told of shorter waits."""
LONGEST_ASKED_S: Final = 120.0
"""Limits per minute ask for a minute at most; a longer wait means a quota per hour or day.

A pause lasts this long, too. Then one request finds out whether the quota has been raised."""

Listener = Callable[[str], Awaitable[None]]
"""Called with a sentence that says why a call waits."""


class WaitPolicy:
    """How long one call waits, behind whom, and who is told.

    Attributes:
        job: The name of the budget, which the calls of one job share; "" outside of jobs.
        gauge: Counts the call while it is in flight.
    """

    def __init__(
        self,
        model: str,
        budget: Budget | None = None,
        listener: Listener | None = None,
        gauge: Gauge | None = None,
    ) -> None:
        """Set up.

        Args:
            model: The model's full name.
            budget: The budget whose time passes; None for none.
            listener: Is told of waits of two seconds and more; None for nobody.
            gauge: Counts the call while it is in flight; None for a gauge that nobody reads.
        """
        self.job = budget.name if budget is not None else ""
        self.gauge = gauge or Gauge()
        self._model = model
        self._budget = budget
        self._listener = listener

    async def wait_for_server(self, asked_s: float, left_s: float) -> None:
        """Wait because the model's server asked for it.

        Args:
            asked_s: The seconds that it asked for.
            left_s: The seconds to wait from now on.

        Raises:
            ModelError: It asks for more than a call waits.
            BudgetSpent: The budget's time ends before.
        """
        if asked_s > LONGEST_ASKED_S:
            raise ModelError(
                "The server of {model} asks to wait {asked}, and a call waits {longest} at most: "
                "its quota of the hour or the day seems used up. Continue after that time, raise "
                "the quota, or use another model. Finished work is kept.",
                model=self._model,
                asked=duration(asked_s),
                longest=duration(LONGEST_ASKED_S),
            )
        await self._wait(left_s, f"the server of {self._model!r} asks to wait {asked_s:.0f} s")

    async def wait_for_rate(self, left_s: float) -> None:
        """Wait because of the rate limit that is configured for the model's server.

        Raises:
            BudgetSpent: The budget's time ends before.
        """
        await self._wait(left_s, f"the requests or tokens a minute of {self._model!r} are used up")

    async def wait_to_retry(self, left_s: float) -> None:
        """Wait because the last attempt failed.

        Raises:
            BudgetSpent: The budget's time ends before.
        """
        reason = f"{self._model!r} failed and is asked again after {left_s:.0f} s"
        await self._wait(left_s, reason)

    async def _wait(self, seconds: float, reason: str) -> None:
        if self._budget is not None:
            await self._budget.check_time(seconds, reason)
        if self._listener is not None and seconds >= SHORTEST_NOTICE_S:
            await self._listener(f"{reason[0].upper()}{reason[1:]}.")
        await anyio.sleep(seconds)
