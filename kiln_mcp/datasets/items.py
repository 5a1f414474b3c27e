"""The items of a dataset, and those of one part of an eval's data."""

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


def data_set(runs: Sequence[TaskRun]) -> list[TaskRun]:
    """Return the runs of the dataset in a stable order: none of evals, no middle turns."""
    parents = {run.parent_task_run_id for run in runs}
    items = [run for run in runs if run.eval_source is None and run.id not in parents]
    return sorted(items, key=lambda run: (run.created_at, run.id))


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
        matches = [item for item in inputs if fits(item)]
        return sorted(matches, key=lambda item: (item.created_at, item.id))
    return sorted(filter_runs(runs, split.filter_id), key=lambda run: (run.created_at, run.id))
