"""Rows of a table that fit a task: its schemas, and what can be stored."""

from collections.abc import Iterable, Iterator
from itertools import islice

from storage import Task, TaskRun
from storage.exchange import BadRow
from storage.format.validation import misfit

_BATCH = 200


def fitting(rows: Iterable[tuple[int, TaskRun | BadRow]], task: Task) -> Iterator[TaskRun | BadRow]:
    """Return each row's run, or what keeps it from being a run of this task."""
    for number, row in rows:
        reason = None if isinstance(row, BadRow) else misfit(row, task)
        yield row if reason is None else BadRow(number, reason)


def batches(rows: Iterator[TaskRun | BadRow]) -> Iterator[list[TaskRun | BadRow]]:
    """Return rows some at a time; the last batch may be smaller, and none is empty."""
    while batch := list(islice(rows, _BATCH)):
        yield batch
