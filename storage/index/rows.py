"""What the index keeps of a record."""

from collections.abc import Mapping
from dataclasses import dataclass

from storage.filters import is_high_quality, shows_thought
from storage.names import shown_name
from storage.records import EvalRun, Record, TaskRun

SqlValue = str | int | float | None


@dataclass(frozen=True, slots=True)
class RunRow:
    """What is kept of a task run, for filters and sorting."""

    columns: Mapping[str, SqlValue]
    tags: tuple[str, ...]
    ratings: Mapping[str, float]
    texts: tuple[str, str]


def name_of(record: Record) -> str:
    """Return a record's name as people see it; "" where its kind has none."""
    name = getattr(record, "name", None)
    return shown_name(name) if isinstance(name, str) else ""


def run_row(run: TaskRun, parent: str) -> RunRow:
    """Return what is kept of a task run below the task in the file `parent`."""
    rating = run.output.rating
    source = run.output.source
    output = run.repaired_output or run.output
    columns: dict[str, SqlValue] = {
        "parent": parent,
        "created_at": run.created_at.timestamp(),
        "id": run.id,
        "rating": rating.value if rating else None,
        "is_high": int(is_high_quality(run)),
        "thought": int(shows_thought(run)),
        "repaired": int(run.repaired_output is not None),
        "source": source.type if source else "",
        "run_config_id": source.run_config_id if source else None,
    }
    given = rating.requirement_ratings if rating else {}
    ratings = {key: one.value for key, one in given.items()}
    return RunRow(columns, run.tags, ratings, (run.input, output.output))


def score_rows(run: EvalRun, judge: str, row: int) -> list[tuple[int, str, str, str, str, float]]:
    """Return the scores that an eval run gives, below the judge in the file `judge`."""
    item = run.dataset_id or run.eval_input_id or ""
    config = run.task_run_config_id or ""
    return [(row, judge, config, item, key, value) for key, value in run.scores.items()]
