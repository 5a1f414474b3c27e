"""Run the blocking calls of a database in threads."""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import anyio.to_thread

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a thread, and return its result."""
    return await anyio.to_thread.run_sync(partial(function, *args, **kwargs))
