"""Kiln's dataset filters: names for sets of task runs and eval inputs."""

import re
from collections.abc import Callable

from storage.errors import InvalidRecord
from storage.records import EvalInput, TaskRun

HIGH_STARS = 4.0


def task_run_filter(filter_id: str) -> Callable[[TaskRun], bool]:
    """Return the test of a dataset filter.

    Raises:
        InvalidRecord: The filter is none that the format knows.
    """
    if filter_id.startswith("multi_filter::"):
        parts = re.split(r"(?<!\\)&", filter_id.removeprefix("multi_filter::"))
        tests = [task_run_filter(part.replace("\\&", "&")) for part in parts]
        return lambda run: all(test(run) for test in tests)
    if filter_id.startswith("tag::"):
        tag = filter_id.removeprefix("tag::")
        return lambda run: tag in run.tags
    named: dict[str, Callable[[TaskRun], bool]] = {
        "all": lambda run: True,
        "high_rating": _is_high,
        "thinking_model": _thought,
        "thinking_model_high_rated": lambda run: _thought(run) and _is_high(run),
    }
    if filter_id not in named:
        raise InvalidRecord(
            "filter",
            f"{filter_id!r} is none of {', '.join(named)}, tag::<tag>, multi_filter::<a>&<b>",
        )
    return named[filter_id]


def eval_input_filter(filter_id: str) -> Callable[[EvalInput], bool]:
    """Return the test of a filter of eval inputs: all, or tag::<tag>."""
    if filter_id.startswith("tag::"):
        tag = filter_id.removeprefix("tag::")
        return lambda case: tag in case.tags
    if filter_id != "all":
        raise InvalidRecord("filter", f"{filter_id!r} is neither all nor tag::<tag>")
    return lambda case: True


def _is_high(run: TaskRun) -> bool:
    if run.repaired_output is not None:
        return True
    rating = run.output.rating
    if rating is None or rating.value is None:
        return False
    return rating.value >= HIGH_STARS if rating.type == "five_star" else rating.value == 1


def _thought(run: TaskRun) -> bool:
    thoughts = run.intermediate_outputs or {}
    return bool(thoughts.get("reasoning") or thoughts.get("chain_of_thought"))
