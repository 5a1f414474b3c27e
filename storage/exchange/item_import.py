"""Save the items of a table below a task: checked once, in transactions of a thousand."""

from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from itertools import islice
from typing import TypeVar, cast

import anyio
import anyio.to_thread

from storage.bulk_changes import BATCH
from storage.changes import Change
from storage.exchange.columns import BadRow
from storage.exchange.item_records import NewItem, id_from
from storage.exchange.trace_updates import is_fuller, run_of_trace, with_trace
from storage.format.validation import item_misfit
from storage.new_records import NewRecord, SaveOutcome, new_text
from storage.records import EvalInput, Feedback, Task, TaskRun
from storage.store import ProjectStore


@dataclass(frozen=True, slots=True)
class SavedBatch:
    """What came of some rows.

    Attributes:
        new_items: Items that were saved.
        repeats: Rows that were saved before.
        bad_rows: Rows that cannot be imported.
        updates: Items that were saved before, and of which the rows know more.
    """

    new_items: int
    repeats: int
    bad_rows: tuple[BadRow, ...]
    updates: int = 0

    @property
    def row_count(self) -> int:
        """How many rows these are."""
        return self.new_items + self.repeats + self.updates + len(self.bad_rows)


async def save_items(
    store: ProjectStore, task: Task, rows: Iterable[tuple[int, NewItem | BadRow]]
) -> AsyncGenerator[SavedBatch]:
    """Save items below a task, a thousand in a transaction; yield what came of each thousand.

    A process that is killed leaves whole transactions. The same rows saved again add nothing twice,
    because their ids are the same.

    Args:
        store: The project.
        task: The task.
        rows: Each row's number, and its item or what is wrong with it. Read in a thread.
    """
    batches = _batches(fitting_items(rows, task))
    batch = await anyio.to_thread.run_sync(next, batches, None)
    while batch:
        step = _Step(store, task, batch)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(step.save)
            tasks.start_soon(step.read_ahead, batches)
            tasks.start_soon(store.catch_up)  # the index takes in the batch before
        if step.error is not None:
            raise step.error
        yield step.saved
        batch = step.next_batch
    await store.catch_up()


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
    batch: Sequence[NewItem | BadRow]
    saved: SavedBatch = field(init=False)
    next_batch: Sequence[NewItem | BadRow] | None = None
    error: Exception | None = None

    async def save(self) -> None:
        items = [row for row in self.batch if isinstance(row, NewItem)]
        bad_rows = tuple(row for row in self.batch if isinstance(row, BadRow))
        with self._first_error():
            change = self.store.new_change()
            outcomes = await anyio.to_thread.run_sync(_save_all, change, items, self.task)
            await self.store.make(change, may_lag=True)
            new_items, updates = outcomes.count(_Outcome.NEW), outcomes.count(_Outcome.UPDATE)
            repeats = len(items) - new_items - updates
            self.saved = SavedBatch(new_items, repeats, bad_rows, updates)

    async def read_ahead(self, batches: Iterator[Sequence[NewItem | BadRow]]) -> None:
        with self._first_error():
            self.next_batch = await anyio.to_thread.run_sync(next, batches, None)

    @contextmanager
    def _first_error(self) -> Generator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it is raised when both tasks have ended
            self.error = self.error or error


def fitting_items(
    rows: Iterable[tuple[int, NewItem | BadRow]], task: Task
) -> Iterator[NewItem | BadRow]:
    """Yield each row's item, or what keeps it from being an item of this task."""
    has_schema = bool(task.input_json_schema or task.output_json_schema)
    for number, row in rows:
        # Without a schema all fit, and nobody need read the records that another process made.
        if not has_schema or isinstance(row, BadRow):
            yield row
        else:
            reason = item_misfit(row.record.record, task)
            yield row if reason is None else BadRow(number, reason)


def _batches(rows: Iterator[NewItem | BadRow]) -> Iterator[list[NewItem | BadRow]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


class _Outcome(Enum):
    """What came of an item: it is new, was there, or was there and has grown."""

    NEW = auto()
    REPEAT = auto()
    UPDATE = auto()


def _save_all(change: Change, items: Iterable[NewItem], task: Task) -> list[_Outcome]:
    """Note items to be saved; return what comes of each."""
    return [_save_item(change, item, task) for item in items]


def _save_item(change: Change, item: NewItem, task: Task) -> _Outcome:
    """Note an item to be saved, unless an earlier import did and knew as much."""
    if item.record.kind is EvalInput:
        is_new = _save_once(change, cast("NewRecord[EvalInput]", item.record), task) is not None
        return _Outcome.NEW if is_new else _Outcome.REPEAT
    new = cast("NewRecord[TaskRun]", item.record)
    if item.original_id and change.has_record(new.record.replace(id=item.original_id), task):
        return _Outcome.REPEAT
    old_run = run_of_trace(change, new, task)
    if old_run is not None:
        if not is_fuller(new.record, old_run):
            return _Outcome.REPEAT
        change.amend(old_run, partial(with_trace, new=new.record))
        return _Outcome.UPDATE
    saved = _save_once(change, new, task)
    if saved is not None and item.feedback:
        parent = change.at_new_place(saved, task)
        for number, text in enumerate(item.feedback):
            key = f"{new.values.id} feedback {number}".encode()
            change.save(Feedback(id=id_from(key), feedback=text, source="run-page"), parent)
    return _Outcome.REPEAT if saved is None else _Outcome.NEW


R = TypeVar("R", TaskRun, EvalInput)


def _save_once(change: Change, new: NewRecord[R], task: Task) -> NewRecord[R] | None:
    """Note a record to be saved; None if it is there. An id that another has is followed by one."""

    def is_it(record: R) -> bool:
        return _input_of(record) == _input_of(new.record)

    while (outcome := change.save_once(new, task, is_it)) is SaveOutcome.TAKEN:
        other = new.record.replace(id=id_from(new.record.id.encode()))
        new = NewRecord(other, new_text(other))
    return new if outcome is SaveOutcome.SAVED else None


def _input_of(record: TaskRun | EvalInput) -> object:
    return record.input if isinstance(record, TaskRun) else record.data
