"""Save what a run makes, some records at once, while the run goes on.

A save by itself waits for the disk and costs three times the processor of one among many. So
records are collected for a moment. What was taken is saved in any case: if the run fails, is
paused or cancelled, its end waits for it.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from kiln_mcp.errors import unwrap
from storage import EvalRun, ProjectStore, Record, TaskRun

GATHERED_S: Final = 0.2
"""Seconds that a record waits for others. What was paid for is in the response cache before."""
A_GROUP: Final = 128
"""Records that wait for no others."""
MOST_WAITING: Final = 256
"""Records that wait to be saved, from which on the run waits too."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A record to be saved below its parent, and what is called once it is."""

    record: TaskRun | EvalRun
    parent: Record
    when_saved: Callable[[], None]


class RecordWriter:
    """Saves records in groups; use `record_writer` to open one.

    Args:
        store: The project.
        after_group: Called after each group.
        gathered_s: Seconds that a record waits for others.
    """

    def __init__(
        self,
        store: ProjectStore,
        after_group: Callable[[], Awaitable[None]],
        gathered_s: float = GATHERED_S,
    ) -> None:
        self._store = store
        self._after_group = after_group
        self._gathered_s = gathered_s
        self._entries: list[_Entry] = []
        self._arrival = anyio.Event()
        self._fullness = anyio.Event()
        self._is_closing = False
        self._change = anyio.Event()
        self.error: Exception | None = None

    def add(
        self, record: TaskRun | EvalRun, parent: Record, when_saved: Callable[[], None]
    ) -> None:
        """Take a record, which is saved from now on in any case.

        Args:
            record: The record.
            parent: What it is saved below.
            when_saved: Called once it is on the disk.
        """
        self._entries.append(_Entry(record, parent, when_saved))
        self._arrival.set()
        if len(self._entries) >= A_GROUP:
            self._fullness.set()

    async def wait_for_room(self) -> None:
        """Wait until few records wait.

        Raises:
            StorageError: A record could not be saved.
        """
        while len(self._entries) > MOST_WAITING and self.error is None:
            await self._change.wait()
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Save what waits, and end."""
        self._is_closing = True
        self._arrival.set()
        self._fullness.set()

    async def run(self) -> None:
        """Save groups until the writer is closed and nothing waits."""
        with anyio.CancelScope(shield=True):
            while self._entries or not self._is_closing:
                await self._arrival.wait()
                with anyio.move_on_after(self._gathered_s):
                    await self._fullness.wait()
                if not self._is_closing:
                    self._arrival, self._fullness = anyio.Event(), anyio.Event()
                entries, self._entries = self._entries, []
                await self._save_all(entries)
                change, self._change = self._change, anyio.Event()
                change.set()

    async def _save_all(self, entries: list[_Entry]) -> None:
        """Save a group with one change of the store, outputs before the verdicts that name them."""
        if not entries:
            return
        entries = sorted(entries, key=lambda entry: isinstance(entry.record, EvalRun))
        try:
            records = [(entry.record, entry.parent) for entry in entries]
            errors = await self._store.save_each(records, is_patient=True)
        except Exception as error:  # noqa: BLE001 - it is raised to the run
            errors = [error] * len(entries)
        for entry, error in zip(entries, errors, strict=True):
            if error is None:
                entry.when_saved()
            else:
                self.error = self.error or error
        await self._after_group()


@asynccontextmanager
async def record_writer(
    store: ProjectStore, after_group: Callable[[], Awaitable[None]]
) -> AsyncGenerator[RecordWriter]:
    """Open a writer; at the end all that it took is saved.

    Args:
        store: The project.
        after_group: Called after each group that was saved.

    Raises:
        StorageError: A record could not be saved; the others are.
    """
    writer = RecordWriter(store, after_group)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(writer.run)
            try:
                yield writer
            finally:
                writer.close()
    except BaseExceptionGroup as error:
        raise unwrap(error) from error
    if writer.error is not None:
        raise writer.error
