"""Rows of a table that fit a task: its schemas, and what can be stored."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice

from kiln_mcp.llm.schemas import problem_with
from storage import Task, TaskRun
from storage.exchange import BadRow

_BATCH = 200


def fitting(rows: Iterable[tuple[int, TaskRun | BadRow]], task: Task) -> Iterator[TaskRun | BadRow]:
    """Return each row's run, or what keeps it from being a run of this task."""
    for number, row in rows:
        misfit = None if isinstance(row, BadRow) else _misfit(row, task)
        yield row if misfit is None else BadRow(number, misfit)


def batched(rows: Iterator[TaskRun | BadRow]) -> Iterator[list[TaskRun | BadRow]]:
    """Return rows some at a time; the last batch may be smaller, and none is empty."""
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _misfit(run: TaskRun, task: Task) -> str | None:
    repaired = run.repaired_output.output if run.repaired_output else None
    outputs = {"output": run.output.output, "repaired": repaired}
    texts = {"input": (run.input, task.input_json_schema)} | {
        part: (text, task.output_json_schema) for part, text in outputs.items() if text
    }
    for part, (text, schema) in texts.items():
        if schema is None:
            continue
        try:
            problem = problem_with(json.loads(text), json.loads(schema))
        except (ValueError, RecursionError) as error:
            return f"its {part} is not the JSON that the task asks for ({error})"
        if problem is not None:
            return f"its {part} does not fit the task's schema: {problem}"
    return None
