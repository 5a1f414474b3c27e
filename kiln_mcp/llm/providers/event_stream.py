"""The events of a streamed answer, with a limit on the wait for each."""

import json
import math
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

import anyio

from kiln_mcp.llm.providers.reply_bodies import LARGEST_REPLY_BYTES
from kiln_mcp.llm.providers.sse import EventReader
from kiln_mcp.llm.providers.stream_assembly import DONE, Assembly

if TYPE_CHECKING:
    import aiohttp

LONGEST_TAIL_S: Final = 5.0
"""Seconds that the usage may come after the end of an answer that was streamed."""


def is_whole(data: str) -> bool:
    """Return whether an event that a stream's end cut off lacks its empty line alone."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return data.strip() == DONE
    return True


async def read_events(
    response: "aiohttp.ClientResponse", assembly: Assembly, timeout_s: float
) -> AsyncGenerator[str]:
    """Yield the data of a stream's events; each may take as long as a whole answer.

    Raises:
        TimeoutError: The next event does not come in time, and the answer is not finished.
    """
    reader = EventReader()
    size = 0
    deadline = anyio.current_time() + timeout_s
    while size < LARGEST_REPLY_BYTES:
        piece = b""
        with anyio.CancelScope(deadline=deadline) as waiting:
            piece = await response.content.readany()
        if waiting.cancelled_caught:
            if assembly.finished:
                return
            raise TimeoutError
        size += len(piece)
        for data in reader.feed(piece) if piece else filter(is_whole, reader.end()):
            yield data
            wait = min(timeout_s, LONGEST_TAIL_S if assembly.finished else math.inf)
            deadline = anyio.current_time() + wait  # comments do not count
        if not piece:
            return
