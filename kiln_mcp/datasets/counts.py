"""How many items a dataset's parts have."""

from storage import (
    Eval,
    EvalInput,
    EvalInputSplit,
    ProjectStore,
    Task,
    TaskRun,
    TaskRunSplit,
    eval_input_filter,
)
from storage.format.filters import is_filter, is_input_filter
from storage.index.queries import RunQuery


async def count_items(store: ProjectStore, task: Task, eval_record: Eval, part: str) -> int:
    """Return how many items a part of an eval's data has, such as `test`.

    A filter that is not known here, such as one of a newer Kiln, has none.
    """
    split = eval_record.split(part)
    if split is None or not is_known_filter(split):
        return 0
    if isinstance(split, EvalInputSplit):
        cases = await store.children(task, EvalInput)
        return sum(map(eval_input_filter(split.filter_id), cases))
    return await store.count_runs(task, RunQuery(split.filter_id, is_from_eval=False))


async def golden_runs(store: ProjectStore, task: Task, eval_record: Eval) -> list[TaskRun]:
    """Return the golden set of an eval, the oldest first; empty if its filter is unknown."""
    filter_id = eval_record.eval_configs_filter_id
    if filter_id is None or not is_filter(filter_id):
        return []
    return await store.runs(task, RunQuery(filter_id, is_from_eval=False))


def is_known_filter(split: TaskRunSplit | EvalInputSplit) -> bool:
    """Return whether a split's filter is one that is known here; a newer Kiln may have others."""
    if isinstance(split, EvalInputSplit):
        return is_input_filter(split.filter_id)
    return is_filter(split.filter_id)
