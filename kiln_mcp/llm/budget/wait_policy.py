"""Waiting before a request: whoever waits hears of it, and nobody waits longer than makes sense."""

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from kiln_mcp.llm.budget.budget import Budget
from kiln_mcp.llm.errors import AsksTooLong

SAID_FROM_S: Final = 2.0
"""Shorter waits are not worth a sentence."""
LONGEST_ASKED_S: Final = 120.0
"""Limits a minute ask for a minute at most: who asks for more has a quota of the hour or day.

So long a pause holds, too: then one request asks whether the quota has been raised meanwhile."""

Listener = Callable[[str], Awaitable[None]]
"""Called with a sentence that says what is waited for."""


class Patience:
    """How long one call waits, and who hears of it."""

    def __init__(
        self, model: str, budget: Budget | None = None, listener: Listener | None = None
    ) -> None:
        """Set up.

        Args:
            model: Whom the call asks, by its full name.
            budget: Whose time is waited away; None for nobody's.
            listener: Hears of waits that are felt; None for nobody.
        """
        self._model = model
        self._budget = budget
        self._listener = listener

    async def as_asked(self, asked_s: float, left_s: float) -> None:
        """Wait because the model's server asked for it.

        Args:
            asked_s: The seconds that it asked for.
            left_s: The seconds to wait from now on.

        Raises:
            AsksTooLong: It asks for more than a call waits.
            BudgetSpent: The time that is left ends before.
        """
        if asked_s > LONGEST_ASKED_S:
            raise AsksTooLong(self._model, asked_s, LONGEST_ASKED_S)
        await self._wait(left_s, f"the server of {self._model!r} asks to wait {asked_s:.0f} s")

    async def for_limit(self, left_s: float) -> None:
        """Wait because of a limit that the person has set for the model's server.

        Raises:
            BudgetSpent: The time that is left ends before.
        """
        await self._wait(left_s, f"the requests or tokens a minute of {self._model!r} are used up")

    async def to_try_again(self, left_s: float) -> None:
        """Wait because the last attempt failed.

        Raises:
            BudgetSpent: The time that is left ends before.
        """
        said = f"{self._model!r} failed and is asked again after {left_s:.0f} s"
        await self._wait(left_s, said)

    async def _wait(self, seconds: float, reason: str) -> None:
        if self._budget is not None:
            await self._budget.check_time(seconds, reason)
        if self._listener is not None and seconds >= SAID_FROM_S:
            await self._listener(f"{reason[0].upper()}{reason[1:]}.")
        await anyio.sleep(seconds)
