"""Whether a record fits the records above it, which its own model cannot know."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from storage.errors import UnreadableRecord
from storage.files import read_plain
from storage.format.layout import place_of
from storage.format.record_text import parse_record
from storage.records import Eval, EvalInput, EvalRun, Record, Task, TaskRun
from storage.refusals import invalid_record
from storage.text.json_schema import problem_with, schema_fault

R = TypeVar("R", bound=Record)


def misfit(run: TaskRun, task: Task, previous: TaskRun | None = None) -> str | None:
    """Return why a run does not fit its task; None if it fits.

    Args:
        run: The run.
        task: The task, which may have schemas.
        previous: What the run was: parts that are as they were are not looked at.
    """
    previous_texts = {part: text for part, text, _ in _parts(previous, task)} if previous else {}
    for part, text, schema in _parts(run, task):
        if schema is None or previous_texts.get(part) == text:
            continue
        fault = _part_misfit(part, text, schema)
        if fault is not None:
            return fault
    return None


def item_misfit(item: TaskRun | EvalInput, task: Task) -> str | None:
    """Return why an item does not fit its task; None if it fits, or is a conversation."""
    if isinstance(item, TaskRun):
        return misfit(item, task)
    schema = task.input_json_schema if task.turn_mode == "single_turn" else None
    if schema is None or item.data.type != "single_turn":
        return None
    return _part_misfit("input", item.data.user_message.text, schema)


def _part_misfit(part: str, text: str, schema: str) -> str | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"its {part} is not the JSON that the task asks for ({error})"
    try:
        problem = problem_with(value, json.loads(schema))
    except (ValueError, RecursionError) as error:
        return f"its {part} cannot be checked against the task's schema: {error}"
    return None if problem is None else f"its {part} does not fit the task's schema: {problem}"


class Ancestors:
    """Reads the records above others, each once while it stays as it is, to check what is saved.

    A check may wait for a worker process, so it blocks.

    Args:
        folder: The project's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[tuple[int, int, int], Record | None]] = {}

    def check(self, record: Record, path: str, previous: Record | None) -> None:
        """Refuse a record that does not fit its ancestors.

        Args:
            record: What is to be saved.
            path: Its file, within the project.
            previous: What the file holds now; None for a new one.

        Raises:
            StorageError: It does not fit.
        """
        fault: str | None = None
        if isinstance(record, Task):
            fault = _schema_fault(record, previous if isinstance(previous, Task) else None)
        elif isinstance(record, TaskRun):
            task = self._above(Task, path, 2)
            previous_run = previous if isinstance(previous, TaskRun) else None
            fault = misfit(record, task, previous_run) if task else None
        elif isinstance(record, EvalRun) and record.skipped_reason is None:
            eval_record = self._above(Eval, path, 4)
            same = isinstance(previous, EvalRun) and previous.scores == record.scores
            fault = eval_record.fault_of(record.scores) if eval_record and not same else None
        if fault:
            raise invalid_record(record.type_name(), fault)

    def uses_schema(self, record: Task | TaskRun, path: str) -> bool:
        """Return whether a check has to look at a schema, which may wait for a worker process."""
        task = record if isinstance(record, Task) else self._above(Task, path, 2)
        return task is not None and bool(task.input_json_schema or task.output_json_schema)

    def _above(self, kind: type[R], path: str, folders: int) -> R | None:
        """Return a record some folders above; None if none can be read."""
        file = f"{path.rsplit('/', folders + 1)[0]}/{place_of(kind).file_name}"
        state = _state(f"{self._folder}/{file}")
        if file not in self._read or self._read[file][0] != state:
            try:
                content = read_plain(self._folder / file)
                self._read[file] = state, parse_record(kind, content, file)
            except (OSError, UnreadableRecord):
                self._read[file] = state, None
        record = self._read[file][1]
        return record if isinstance(record, kind) else None


def _state(file: str) -> tuple[int, int, int]:
    """Return what differs where a file was written: its time, size and number."""
    try:
        status = os.lstat(file)
    except OSError:
        return (0, 0, 0)
    return status.st_mtime_ns, status.st_size, status.st_ino


def _schema_fault(task: Task, previous: Task | None) -> str | None:
    """Return why a schema of a task cannot be used; those that it had already are not looked at."""
    for part in ("input", "output"):
        text: str | None = getattr(task, f"{part}_json_schema")
        if text is None or (previous and getattr(previous, f"{part}_json_schema") == text):
            continue
        fault = schema_fault(text)
        if fault:
            return f"its {part} schema cannot be used: {fault}"
    return None


def _parts(run: TaskRun, task: Task) -> Iterator[tuple[str, str, str | None]]:
    """Yield name, text and schema of what a run holds. A conversation's turns are plain text."""
    if task.turn_mode == "single_turn":
        yield "input", run.input, task.input_json_schema
    yield "output", run.output.output, task.output_json_schema
    if run.repaired_output:
        yield "repaired output", run.repaired_output.output, task.output_json_schema
