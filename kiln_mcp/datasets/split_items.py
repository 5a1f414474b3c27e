"""Which items of a task an eval is made of."""

from collections.abc import Sequence

from storage import (
    EvalInput,
    EvalInputSplit,
    TaskRun,
    TaskRunSplit,
    eval_input_filter,
    task_run_filter,
)

Split = TaskRunSplit | EvalInputSplit
"""One part of an eval's data."""


def filter_runs(runs: Sequence[TaskRun], filter_id: str) -> list[TaskRun]:
    """Return the runs that a filter lets through, without those that evals made.

    Raises:
        InvalidQuery: The format knows no such filter.
    """
    fits = task_run_filter(filter_id)
    return [run for run in runs if run.eval_source is None and fits(run)]


def split_items(
    split: Split, runs: Sequence[TaskRun], inputs: Sequence[EvalInput]
) -> "list[TaskRun] | list[EvalInput]":
    """Return the items of one part of an eval's data, oldest first.

    Raises:
        InvalidQuery: The format knows no such filter.
    """
    if isinstance(split, EvalInputSplit):
        fits = eval_input_filter(split.filter_id)
        chosen = [item for item in inputs if fits(item)]
        return sorted(chosen, key=lambda item: (item.created_at, item.id))
    return sorted(filter_runs(runs, split.filter_id), key=lambda run: (run.created_at, run.id))
