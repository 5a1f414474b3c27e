"""The values of a record in the index."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from math import isfinite
from typing import Final, NamedTuple

from storage.format.filters import is_high_quality, shows_thought
from storage.records import EvalInput, EvalRun, Record, TaskRun, Usage
from storage.records.names import shown_name
from storage.records.run import COMPLETE

SqlValue = str | int | float | None

TAG_FACET: Final = "tag:"
"""What the facets of tags begin with."""
FROM_EVAL: Final = "made_by_eval"
INCOMPLETE: Final = "incomplete"
"""Of runs whose output, whatever it was repaired to, is no complete answer."""
"""The facet of a run that an eval made from an item; it is no item itself."""

SLOTS: Final = 2048
"""Row numbers for each microsecond of time."""

_LAST_MICROSECOND: Final = 2**52 - 2**30
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LARGEST: Final = 2**53
"""The largest number of milliseconds that is kept; a file may hold any."""


class RunRow(NamedTuple):
    """The values of a task run in the index, for filters and sorting.

    Attributes:
        rating: Its overall rating.
        rated_us: When it was rated, in microseconds since 1970.
        ratings: Its other ratings, by requirement or score.
        item_id: The item that an eval made it for.
        run_config_id: The run config that made its output.
        sample: Which of the outputs of that item it is.
        cost: Of its output, in US dollars.
        latency_ms: Of its output, in milliseconds.
        tokens: Of its output's calls, input and output together.
        model: The model that made its output, as its provider calls it.
        previous_id: The turn before, in a conversation.
        fingerprint: Of what a judge sees of it.
        topic: What it is about.
        facets: What it is or has, each as one word such as "tag:golden".
        texts: Its input and its output.
    """

    rating: float | None
    rated_us: int | None
    ratings: Mapping[str, float]
    item_id: str | None
    run_config_id: str | None
    sample: int
    cost: float | None
    latency_ms: float | None
    tokens: int | None
    model: str | None
    previous_id: str | None
    fingerprint: str
    topic: str | None
    facets: Sequence[str]
    texts: Sequence[str]


class RecordValues(NamedTuple):
    """The values of a record in the index.

    Attributes:
        id: Its id.
        name: Its name; "" if its kind has none.
        created_us: When it was created, in microseconds since 1970.
        run: Of a task run.
        result: The columns of an eval run, but for the numbers of its row and its evaluator.
        scores: Its scores by their keys, with whether there was nothing to compare.
        tags: The tags of an eval input.
        topic: Its topic.
    """

    id: str
    name: str
    created_us: int
    run: RunRow | None = None
    result: Mapping[str, SqlValue] | None = None
    scores: Sequence[tuple[str, float, bool]] = ()
    tags: Sequence[str] = ()
    topic: str | None = None


def values_of(record: Record) -> RecordValues:
    """Return the values of a record in the index."""
    head = record.id, name_of(record), microseconds(record.created_at)
    if isinstance(record, TaskRun):
        return RecordValues(*head, run=run_row(record))
    if isinstance(record, EvalRun):
        return RecordValues(*head, result=_result_row(record), scores=_scores(record))
    if isinstance(record, EvalInput):
        return RecordValues(*head, tags=record.tags, topic=record.topic)
    return RecordValues(*head)


def values_of_message(fields: Sequence[object]) -> RecordValues:
    """Return values as a message of a process of ours has them: tuples come as lists."""
    values = RecordValues(*fields)  # pyright: ignore[reportArgumentType] - as they were sent
    return values if values.run is None else values._replace(run=RunRow(*values.run))


def name_of(record: Record) -> str:
    """Return a record's name as people see it; "" if its kind has none."""
    # Asking a record for what it lacks costs an error, once for each of thousands.
    has_name = _has_name(type(record))
    name = getattr(record, "name", None) if has_name else (record.model_extra or {}).get("name")
    return shown_name(name) if isinstance(name, str) else ""


@cache
def _has_name(kind: type[Record]) -> bool:
    return "name" in kind.model_fields


def microseconds(moment: datetime) -> int:
    """Return a moment as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """Return the moment of so many microseconds since 1970."""
    return _EPOCH + microseconds * _MICROSECOND


def first_row(created_us: int) -> int:
    """Return the first row number for records of this moment: later moments have higher ones."""
    return min(max(created_us, 0), _LAST_MICROSECOND) * SLOTS


def run_row(run: TaskRun) -> RunRow:
    """Return the values of a task run in the index."""
    rating = run.output.rating
    source = run.output.source
    output = run.repaired_output or run.output
    value = rating.value if rating else None
    facets = [*map(tag_facet, run.tags)]
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
    if run.answer_state != COMPLETE:
        facets.append(INCOMPLETE)
    requirement_ratings = rating.requirement_ratings if rating else {}
    facets += [f"rated_for:{key}" for key in requirement_ratings]
    cost, latency_ms = usage_columns(run.usage)
    return RunRow(
        rating=value,
        rated_us=microseconds(rating.created_at) if rating else None,
        ratings={key: own.value for key, own in requirement_ratings.items()},
        item_id=run.eval_source.source_id if run.eval_source else None,
        run_config_id=source.run_config_id if source else None,
        sample=run.sample,
        cost=cost,
        latency_ms=latency_ms,
        tokens=_tokens(run.usage),
        model=run.model_name,
        previous_id=run.parent_task_run_id,
        fingerprint=run.fingerprint,
        topic=run.topic,
        facets=tuple(dict.fromkeys(facets)),
        texts=(run.input, output.output),
    )


def mark_of(facet: str) -> str:
    """Return a facet as one word of full-text search, whatever characters it has."""
    return f"x{facet.encode('utf-8', 'surrogatepass').hex()}"


def marks_of(task: int, facets: Iterable[str]) -> str:
    """Return the words of full-text search that tell what a run of a task is or has."""
    return " ".join((mark_of(f"task:{task}"), *map(mark_of, facets)))


def tag_facet(tag: str) -> str:
    """Return the facet of a run that has a tag."""
    return f"{TAG_FACET}{tag}"


def usage_columns(usage: Usage | None) -> tuple[float | None, float | None]:
    """Return cost and latency of a usage; None if they are not known."""
    if usage is None:
        return None, None
    latency_ms = usage.total_llm_latency_ms
    return usage.cost, None if latency_ms is None else float(min(latency_ms, _LARGEST))


def _tokens(usage: Usage | None) -> int | None:
    """Return the tokens of a usage; None if they are not known."""
    if usage is None:
        return None
    parts = [usage.input_tokens, usage.output_tokens]
    total = usage.total_tokens if usage.total_tokens is not None else sum(p or 0 for p in parts)
    return min(total, _LARGEST) if total else None


def _result_row(run: EvalRun) -> dict[str, SqlValue]:
    cost, latency_ms = usage_columns(run.task_run_usage)
    return {
        "run_config_id": run.task_run_config_id or "",
        "item_id": run.dataset_id or run.eval_input_id or "",
        "output_id": run.scored_run_id or "",
        "sample": run.sample,
        "verdict": run.verdict_number,
        "is_skipped": bool(run.skipped_reason),
        "cost": cost,
        "latency_ms": latency_ms,
        "fingerprint": run.output_fingerprint,
    }


def _scores(run: EvalRun) -> list[tuple[str, float, bool]]:
    empty = run.empty_scores
    return [(key, value, key in empty) for key, value in run.scores.items() if isfinite(value)]


def value_rows(values: Mapping[str, float], row: int) -> list[tuple[int, str, float]]:
    """Return numbers by key as rows; NaN and infinity have no place in a column."""
    return [(row, key, value) for key, value in values.items() if isfinite(value)]
