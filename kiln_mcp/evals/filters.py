"""Dataset filters: which items of a task an eval or a data set is made of."""

import re
from collections.abc import Sequence
from typing import Final

from kiln_mcp.evals.errors import UnknownFilter
from storage import EvalInput, EvalSplit, TaskRun, TaskRunSplit

_AND: Final = re.compile(r"(?<!\\)&")


def filter_runs(runs: Sequence[TaskRun], filter_id: str) -> list[TaskRun]:
    """Return the runs that a filter lets through, without those that evals made.

    Raises:
        UnknownFilter: The format knows no such filter.
    """
    return [run for run in runs if run.eval_source is None and _fits_run(run, filter_id)]


def split_items(
    split: EvalSplit, runs: Sequence[TaskRun], inputs: Sequence[EvalInput]
) -> "list[TaskRun] | list[EvalInput]":
    """Return the items of one part of an eval's data, oldest first.

    Raises:
        UnknownFilter: The format knows no such filter.
    """
    if isinstance(split, TaskRunSplit):
        return sorted(filter_runs(runs, split.filter_id), key=lambda run: (run.created_at, run.id))
    if split.filter_id == "all":
        chosen = list(inputs)
    elif split.filter_id.startswith("tag::"):
        tag = split.filter_id.removeprefix("tag::")
        chosen = [item for item in inputs if tag in item.tags]
    else:
        raise UnknownFilter(split.filter_id)
    return sorted(chosen, key=lambda item: (item.created_at, item.id))


def _fits_run(run: TaskRun, filter_id: str) -> bool:
    rating = run.output.rating
    good = run.repaired_output is not None or (rating is not None and rating.is_high_quality)
    thought = any(
        (run.intermediate_outputs or {}).get(key) for key in ("reasoning", "chain_of_thought")
    )
    match filter_id.split("::", 1):
        case ["all"]:
            return True
        case ["high_rating"]:
            return good
        case ["thinking_model"]:
            return thought
        case ["thinking_model_high_rated"]:
            return thought and good
        case ["tag", tag]:
            return tag in run.tags
        case ["multi_filter", parts]:
            return all(_fits_run(run, part.replace("\\&", "&")) for part in _AND.split(parts))
        case _:
            raise UnknownFilter(filter_id)
