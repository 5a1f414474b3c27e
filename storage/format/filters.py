"""Kiln's dataset filters: names for sets of task runs and eval inputs."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from storage.errors import InvalidQuery
from storage.records import EvalInput, TaskRun

_HIGH_STARS: Final = 4.0
_FILTER_NAMES: Final = ("all", "high_rating", "thinking_model", "thinking_model_high_rated")


@dataclass(frozen=True, slots=True)
class NamedFilter:
    """One of the filters that have a name."""

    name: str


@dataclass(frozen=True, slots=True)
class TagFilter:
    """What has a tag."""

    tag: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """What several filters hold of, each by its id."""

    parts: tuple[str, ...]


def parse_filter(filter_id: str) -> NamedFilter | TagFilter | AllOf:
    """Read a dataset filter's id.

    Raises:
        InvalidQuery: The format knows no such filter.
    """
    if filter_id in _FILTER_NAMES:
        return NamedFilter(filter_id)
    if filter_id.startswith("tag::"):
        return TagFilter(filter_id.removeprefix("tag::"))
    if filter_id.startswith("multi_filter::"):
        parts = re.split(r"(?<!\\)&", filter_id.removeprefix("multi_filter::"))
        return AllOf(tuple(part.replace("\\&", "&") for part in parts))
    raise InvalidQuery(
        f"the filter {filter_id!r} is none of {', '.join(_FILTER_NAMES)}, tag::<tag>, "
        "multi_filter::<a>&<b>"
    )


def is_filter(filter_id: str) -> bool:
    """Whether the format knows such a filter of task runs."""
    try:
        task_run_filter(filter_id)
    except InvalidQuery:
        return False
    return True


def is_input_filter(filter_id: str) -> bool:
    """Whether the format knows such a filter of eval inputs."""
    try:
        eval_input_filter(filter_id)
    except InvalidQuery:
        return False
    return True


def task_run_filter(filter_id: str) -> Callable[[TaskRun], bool]:
    """Return the test of a dataset filter.

    Raises:
        InvalidQuery: The format knows no such filter.
    """
    match parse_filter(filter_id):
        case TagFilter(tag):
            return lambda run: tag in run.tags
        case AllOf(parts):
            tests = [task_run_filter(part) for part in parts]
            return lambda run: all(test(run) for test in tests)
        case NamedFilter("all"):
            return lambda run: True
        case NamedFilter("high_rating"):
            return is_high_quality
        case NamedFilter("thinking_model"):
            return shows_thought
        case NamedFilter(_):
            return lambda run: shows_thought(run) and is_high_quality(run)


def input_tag(filter_id: str) -> str | None:
    """Return the tag that a filter of eval inputs asks for; None for all of them.

    Raises:
        InvalidQuery: It is neither all nor tag::<tag>.
    """
    match parse_filter(filter_id):
        case TagFilter(tag):
            return tag
        case NamedFilter("all"):
            return None
        case _:
            raise InvalidQuery(f"the filter {filter_id!r} of eval inputs is neither all nor a tag")


def eval_input_filter(filter_id: str) -> Callable[[EvalInput], bool]:
    """Return the test of a filter of eval inputs: all, or tag::<tag>.

    Raises:
        InvalidQuery: It is neither.
    """
    tag = input_tag(filter_id)
    return lambda case: tag is None or tag in case.tags


def is_high_quality(run: TaskRun) -> bool:
    """Whether a run was repaired or its overall rating is 4 or 5 stars, or a pass."""
    if run.repaired_output is not None:
        return True
    rating = run.output.rating
    if rating is None or rating.value is None:
        return False
    return rating.value >= _HIGH_STARS if rating.type == "five_star" else rating.value == 1


def shows_thought(run: TaskRun) -> bool:
    """Whether a run keeps the model's reasoning."""
    return bool(run.reasoning)
