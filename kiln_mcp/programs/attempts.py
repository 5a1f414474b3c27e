"""Attempts at one item of a program that may be run again."""

import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

import anyio

from kiln_mcp.llm import ModelAnswer
from kiln_mcp.programs.errors import ProgramFailure

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 10.0


class Retry(ProgramFailure):
    """A failure that may pass if the program is run again."""


async def with_attempts(retries: int, attempt: Callable[[], Awaitable[ModelAnswer]]) -> ModelAnswer:
    """Return the first answer of some attempts, with waits of full jitter between them.

    Args:
        retries: How often the program may be run again; 0 if running it twice may do harm.
        attempt: Runs it once.

    Raises:
        ProgramFailure: The last attempt failed, or a failure that would not pass.
    """
    for number in count():
        try:
            return await attempt()
        except Retry:
            if number >= retries:
                raise
        longest = min(FIRST_WAIT_S * 2**number, LONGEST_WAIT_S)
        await anyio.sleep(random.uniform(0, longest))
    raise AssertionError("the loop has no end")
