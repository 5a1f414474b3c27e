"""A trace that comes again: where its export knows more than the run that it became, the run grows.

A person's part of the run stays: its rating, its repair, its tags. Labels name the run by its id.
"""

import json
from contextlib import suppress
from typing import Final

from storage.changes import Change
from storage.errors import UnreadableRecord
from storage.files import read_plain
from storage.format.record_text import parse_record, revision_of
from storage.new_records import NewRecord
from storage.records import Task, TaskRun
from storage.records.record import Origin

_KEY: Final = ("trace_format", "trace_id")
_KEY_MARK: Final = b'"trace_id"'
_STATE_TAGS: Final = frozenset({"answer_truncated", "answer_refused", "answer_empty"})


def run_of_trace(change: Change, new: NewRecord[TaskRun], task: Task) -> TaskRun | None:
    """Return the saved run of the trace that a new run is made of; None if there is none."""
    # Most records need not be read for that.
    if _KEY_MARK not in new.content or _trace_key(new.record) is None:
        return None
    path = change.at_new_place(new, task).saved.path
    with suppress(OSError, UnreadableRecord):
        content = read_plain(f"{change.folder}/{path}")
        old_run = parse_record(TaskRun, content, path).at(Origin(path, revision_of(content)))
        return old_run if _trace_key(old_run) == _trace_key(new.record) else None
    return None


def is_fuller(new: TaskRun, old_run: TaskRun) -> bool:
    """Whether a new run knows more of a trace than the stored one, and nothing less."""
    sizes, old_sizes = _extent(new), _extent(old_run)
    is_less = any(size < old_size for size, old_size in zip(sizes, old_sizes, strict=True))
    return not is_less and sizes != old_sizes


def with_trace(old_run: TaskRun, new: TaskRun) -> TaskRun:
    """Return a stored run with what a fuller export of its trace knows."""
    tags = [tag for tag in old_run.tags if tag not in _STATE_TAGS]
    rating = old_run.output.rating or new.output.rating
    output = old_run.output.replace(
        output=new.output.output, source=new.output.source, rating=rating
    )
    return old_run.replace(
        created_at=min(old_run.created_at, new.created_at),
        input=new.input,
        output=output,
        tags=tuple(dict.fromkeys([*tags, *new.tags])),
        intermediate_outputs=new.intermediate_outputs or old_run.intermediate_outputs,
        usage=new.usage or old_run.usage,
        trace=new.trace or old_run.trace,
    )


def _properties(run: TaskRun) -> dict[str, str | int | float]:
    return run.output.source.properties if run.output.source else {}


def _trace_key(run: TaskRun) -> tuple[object, ...] | None:
    properties = _properties(run)
    return tuple(properties[key] for key in _KEY) if properties.keys() >= set(_KEY) else None


def _extent(run: TaskRun) -> tuple[float, ...]:
    """Return how much a run knows of its trace."""
    properties = _properties(run)
    tokens = run.usage.total_tokens if run.usage else None
    return (
        run.is_usable,
        len(run.trace or ()),
        float(properties.get("model_calls", 0)),
        float(properties.get("tool_calls", 0)),
        _feedback_count(properties.get("feedback")),
        tokens or 0,
    )


def _feedback_count(text: object) -> int:
    with suppress(ValueError):
        return len(json.loads(str(text or "[]")))
    return 0
