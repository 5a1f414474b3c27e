"""The items of a dataset, and those of one part of an eval's data."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol, TypeVar

from storage import (
    EvalInputSplit,
    EvalItemSource,
    ProjectStore,
    Task,
    TaskRun,
    TaskRunSplit,
    is_high_quality,
)
from storage.format.filters import input_tag
from storage.index.queries import RunQuery
from storage.index.results import RecordRow, input_items, items
from storage.records.run import PAIR_ADAPTER, REFERENCE_ADAPTER, UNVERIFIED_ADAPTER

PartFilter = TaskRunSplit | EvalInputSplit
"""One part of an eval's data."""

FROM_ASSISTANT: Final = "host"
"""The provider of outputs that the connected assistant gave as right."""


class _Run(Protocol):
    """A run, or what is kept of one."""

    @property
    def id(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def parent_task_run_id(self) -> str | None: ...
    @property
    def eval_source(self) -> EvalItemSource | None: ...


RunT = TypeVar("RunT", bound=_Run)


def data_set(runs: Sequence[RunT]) -> list[RunT]:
    """Return the runs of the dataset in a stable order: none of evals, no middle turns."""
    parents = {run.parent_task_run_id for run in runs}
    items = [run for run in runs if run.eval_source is None and run.id not in parents]
    return sorted(items, key=lambda run: (run.created_at, run.id))


async def items_in(store: ProjectStore, task: Task, part: PartFilter) -> list[RecordRow]:
    """Return the items of one part of an eval's data, oldest first; their files are not read.

    Raises:
        InvalidQuery: The format knows no such filter.
    """
    path = task.saved.path
    if isinstance(part, EvalInputSplit):
        tag = input_tag(part.filter_id)
        return await store.ask(lambda index: input_items(index, path, tag))
    query = RunQuery(part.filter_id, is_from_eval=False)
    return await store.ask(lambda index: items(index, path, query))


def is_known_right(run: TaskRun) -> bool:
    """Return whether a run's output is right: from a person, a file or the assistant, or rated so.

    A generated reference is right if it was verified. What a model answered and nobody checked is
    not, nor is an answer that is not complete, nor one that was edited to be wrong.
    """
    source = run.output.source
    if not run.is_usable:
        return False
    if is_high_quality(run) or source is None or source.type != "synthetic":
        return True
    adapter = source.properties.get("adapter_name")
    if adapter in {PAIR_ADAPTER, UNVERIFIED_ADAPTER}:
        return False
    return adapter == REFERENCE_ADAPTER or source.properties.get("model_provider") == FROM_ASSISTANT
