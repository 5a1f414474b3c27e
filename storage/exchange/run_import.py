"""Save the runs of a table below a task: checked once, in transactions of a thousand."""

from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import anyio
import anyio.to_thread

from storage.changes import Change, NewRecord, SaveOutcome, new_text
from storage.exchange.columns import BadRow
from storage.exchange.tables import id_after
from storage.format.validation import misfit
from storage.records import Task, TaskRun
from storage.store import ProjectStore

BATCH: Final = 1000
"""Runs of one transaction."""

NewRun = NewRecord[TaskRun]


@dataclass(frozen=True, slots=True)
class SavedBatch:
    """What came of some rows.

    Attributes:
        new_runs: Runs that were saved.
        repeats: Rows that were saved before.
        bad_rows: Rows that cannot be imported.
    """

    new_runs: int
    repeats: int
    bad_rows: tuple[BadRow, ...]

    @property
    def row_count(self) -> int:
        """How many rows these are."""
        return self.new_runs + self.repeats + len(self.bad_rows)


async def save_rows(
    store: ProjectStore, task: Task, rows: Iterable[tuple[int, NewRun | BadRow]]
) -> AsyncGenerator[SavedBatch]:
    """Save runs below a task, a thousand in a transaction; yield what came of each thousand.

    A process that is killed leaves whole transactions. The same rows saved again add nothing twice,
    because their ids are the same.

    Args:
        store: The project.
        task: The task.
        rows: Each row's number, and its run or what is wrong with it. Read in a thread.
    """
    batches = _batches(_fitting(rows, task))
    batch = await anyio.to_thread.run_sync(next, batches, None)
    while batch:
        step = _Step(store, task, batch)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(step.save)
            tasks.start_soon(step.read_ahead, batches)
        if step.error is not None:
            raise step.error
        yield step.saved
        batch = step.next_batch


@dataclass(slots=True)
class _Step:
    """One batch that is saved while the next one is read.

    Attributes:
        store: The project.
        task: The task.
        batch: The rows to be saved.
        saved: What came of them.
        next_batch: The rows after them; None at the end.
        error: What went wrong first; the task group would raise it in a group.
    """

    store: ProjectStore
    task: Task
    batch: Sequence[NewRun | BadRow]
    saved: SavedBatch = field(init=False)
    next_batch: Sequence[NewRun | BadRow] | None = None
    error: Exception | None = None

    async def save(self) -> None:
        runs = [row for row in self.batch if isinstance(row, NewRecord)]
        bad_rows = tuple(row for row in self.batch if isinstance(row, BadRow))
        with self._first_error():
            async with self.store.transaction() as change:
                new_runs = await anyio.to_thread.run_sync(_save_all, change, runs, self.task)
            self.saved = SavedBatch(new_runs, len(runs) - new_runs, bad_rows)

    async def read_ahead(self, batches: Iterator[Sequence[NewRun | BadRow]]) -> None:
        with self._first_error():
            self.next_batch = await anyio.to_thread.run_sync(next, batches, None)

    @contextmanager
    def _first_error(self) -> Generator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it is raised when both tasks have ended
            self.error = self.error or error


def _fitting(rows: Iterable[tuple[int, NewRun | BadRow]], task: Task) -> Iterator[NewRun | BadRow]:
    """Yield each row's run, or what keeps it from being a run of this task."""
    for number, row in rows:
        reason = None if isinstance(row, BadRow) else misfit(row.record, task)
        yield row if reason is None else BadRow(number, reason)


def _batches(rows: Iterator[NewRun | BadRow]) -> Iterator[list[NewRun | BadRow]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _save_all(change: Change, runs: Iterable[NewRun], task: Task) -> int:
    """Note runs to be saved; return how many were not there."""
    return sum(_save_run(change, run, task) for run in runs)


def _save_run(change: Change, new: NewRun, task: Task) -> bool:
    """Note a run to be saved, or return False where an earlier import of its table did."""
    run = new.record

    def is_it(record: TaskRun) -> bool:
        return record.input_source == run.input_source and record.input == run.input

    while (outcome := change.save_once(new, task, is_it)) is SaveOutcome.TAKEN:
        other = new.record.replace(id=id_after(new.record.id))
        new = NewRecord(other, new_text(other))
    return outcome is SaveOutcome.SAVED
