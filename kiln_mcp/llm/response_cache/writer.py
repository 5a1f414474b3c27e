"""The response cache's writer thread: all rows that wait go into one transaction."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Final

import anyio.to_thread

from kiln_mcp.llm.response_cache.cache import Row

LAST_ROWS_S: Final = 30


class CacheChange(Enum):
    """What is done with a row, in the order in which a batch does it."""

    NOTE = "note"
    WRITE = "write"


Changed = tuple[CacheChange, Row]


@dataclass(frozen=True, slots=True)
class _PendingChanges:
    changes: Sequence[Changed]
    completion: asyncio.Future[None] | None = None


Batch = dict[CacheChange, list[Row]]
WriteBatch = Callable[[Batch], None]
"""Makes the changes of a batch in one transaction; raises DatabaseFailure."""


class CacheWriter:
    """Takes rows from the event loop and writes them in a thread of its own."""

    def __init__(self, write: WriteBatch) -> None:
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._next_changes: list[_PendingChanges] = []
        self._queue: queue.SimpleQueue[list[_PendingChanges] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="responses", daemon=True)
        self._thread.start()

    async def add(self, change: CacheChange, row: Row) -> None:
        """Make a change; return when it is made. It is made even if the caller is cancelled.

        Raises:
            DatabaseFailure: It cannot be made, for example because the disk is full.
        """
        await self._wait_for([(change, row)])

    async def flush(self) -> None:
        """Return when all added rows are written."""
        await self._wait_for([])

    async def _wait_for(self, changes: Sequence[Changed]) -> None:
        completion: asyncio.Future[None] = self._loop.create_future()
        self._put(_PendingChanges(changes, completion))
        await completion

    def add_soon(self, change: CacheChange, row: Row) -> None:
        """Make a change without waiting for it."""
        self._put(_PendingChanges([(change, row)]))

    def _put(self, pending: _PendingChanges) -> None:
        """Hand changes to the thread, those of one turn of the loop together: a wake-up is dear."""
        if not self._next_changes:
            self._loop.call_soon(self._hand_over)
        self._next_changes.append(pending)

    def _hand_over(self) -> None:
        pending, self._next_changes = self._next_changes, []
        self._queue.put(pending)

    async def close(self) -> None:
        """Write what waits and end the thread."""
        self._hand_over()
        self._queue.put(None)
        # Bounded: nothing new is taken after the None.
        await anyio.to_thread.run_sync(self._thread.join, LAST_ROWS_S)

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            items = [self._queue.get()]
            while not self._queue.empty():
                items.append(self._queue.get())
            pending = [change for item in items if item is not None for change in item]
            goes_on = None not in items
            failure = self._try_to_write(pending)
            if failure is None or len(pending) == 1:
                self._tell(pending, failure)
                continue
            for item in pending:  # a row that cannot be written fails alone
                self._tell([item], self._try_to_write([item]))

    def _try_to_write(self, pending: Sequence[_PendingChanges]) -> Exception | None:
        """Make changes in one transaction; return why they cannot be made, None if they are."""
        batch: Batch = {change: [] for change in CacheChange}
        for change, row in chain.from_iterable(item.changes for item in pending):
            batch[change].append(row)
        try:
            self._write(batch)
        except Exception as error:  # noqa: BLE001 - the caller gets it; the thread continues
            return error
        return None

    def _tell(self, pending: Sequence[_PendingChanges], failure: Exception | None) -> None:
        futures = [item.completion for item in pending if item.completion is not None]

        def settle() -> None:
            for future in futures:
                if future.done():
                    continue
                if failure is None:
                    future.set_result(None)
                else:
                    future.set_exception(failure)

        if futures:
            with suppress(RuntimeError):  # the loop has ended: no caller waits any more
                self._loop.call_soon_threadsafe(settle)
