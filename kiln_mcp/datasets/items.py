"""The items of a dataset, and those of one part of an eval's data."""

from collections.abc import Sequence

from storage import EvalInputSplit, ProjectStore, Task, TaskRun, TaskRunSplit
from storage.format.filters import input_tag
from storage.index.queries import RunQuery
from storage.index.results import RecordRow, input_items, items

PartFilter = TaskRunSplit | EvalInputSplit
"""One part of an eval's data."""


def data_set(runs: Sequence[TaskRun]) -> list[TaskRun]:
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
