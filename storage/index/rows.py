"""The values of a record in the index."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from storage.format.filters import is_high_quality, shows_thought
from storage.records import EvalRun, Record, TaskRun
from storage.records.names import shown_name

SqlValue = str | int | float | None

FROM_EVAL: Final = "made_by_eval"
"""The facet of a run that an eval made from an item; it is no item itself."""

SLOTS: Final = 2048
"""Row numbers for each microsecond of time."""

_LAST_MICROSECOND: Final = 2**52 - 2**30


@dataclass(frozen=True, slots=True)
class RunRow:
    """The values of a task run in the index, for filters and sorting.

    Attributes:
        rating: Its overall rating.
        facets: What it is or has, each as one word such as "tag:golden".
        texts: Its input and its output.
    """

    rating: float | None
    facets: tuple[str, ...]
    texts: tuple[str, str]


def name_of(record: Record) -> str:
    """Return a record's name as people see it; "" if its kind has none."""
    name = getattr(record, "name", None)
    return shown_name(name) if isinstance(name, str) else ""


def first_row(created_at: datetime) -> int:
    """Return the first row number for records of this moment: later moments have higher ones."""
    microseconds = int(created_at.timestamp() * 1_000_000)
    return min(max(microseconds, 0), _LAST_MICROSECOND) * SLOTS


def run_row(run: TaskRun) -> RunRow:
    """Return the values of a task run in the index."""
    rating = run.output.rating
    source = run.output.source
    output = run.repaired_output or run.output
    value = rating.value if rating else None
    facets = [f"tag:{tag}" for tag in run.tags]
    facets.append("unrated" if value is None else "rated")
    if source:
        facets.append(f"source:{source.type}")
        if source.run_config_id:
            facets.append(f"config:{source.run_config_id}")
    if is_high_quality(run):
        facets.append("high")
    if shows_thought(run):
        facets.append("thought")
    if run.eval_source is not None:
        facets.append(FROM_EVAL)
    requirement_ratings = rating.requirement_ratings if rating else {}
    facets += [f"rated_for:{key}" for key in requirement_ratings]
    return RunRow(value, tuple(dict.fromkeys(facets)), (run.input, output.output))


def mark_of(facet: str) -> str:
    """Return a facet as one word of full-text search, whatever characters it has."""
    return f"x{facet.encode('utf-8', 'surrogatepass').hex()}"


def score_rows(run: EvalRun, judge: int, row: int) -> list[tuple[int, int, str, str, str, float]]:
    """Return the scores that an eval run gives, below the judge of this number."""
    item = run.dataset_id or run.eval_input_id or ""
    config = run.task_run_config_id or ""
    return [(row, judge, config, item, key, value) for key, value in run.scores.items()]
