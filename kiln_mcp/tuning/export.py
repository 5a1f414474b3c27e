"""Choose what may be learnt from, and write it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from kiln_mcp.tuning.errors import FormatMisfit
from kiln_mcp.tuning.formats import (
    NEEDS_SCHEMA,
    ExportFormat,
    Instructions,
    Thinking,
    example_of,
    line_of,
)
from storage import Task, TaskRun
from storage.border import check_target
from storage.files import write_atomically


@dataclass(frozen=True, slots=True)
class Recipe:
    """How runs become lines.

    Attributes:
        shape: The file's format.
        thinking: What becomes of the reasoning.
        instructions: What the model is told.
        schema: JSON Schema of the output; None for plain text.
    """

    shape: ExportFormat
    thinking: Thinking
    instructions: Instructions
    schema: Mapping[str, JsonValue] | None


@dataclass(frozen=True, slots=True)
class Written:
    """The lines of one part, and how many of its items are not among them.

    Attributes:
        lines: One JSON text for each example.
        held_back: Items that an eval measures on.
        without_thinking: Items that lack the reasoning that the recipe wants.
        unchecked: Lines whose output a model gave and nobody rated or repaired.
    """

    lines: tuple[str, ...]
    held_back: int
    without_thinking: int
    unchecked: int


def check_recipe(task: Task, recipe: Recipe) -> None:
    """Refuse what cannot be learnt in this format.

    Raises:
        FormatMisfit: The task is a conversation or lacks the schema that the format needs.
    """
    if task.turn_mode == "multiturn":
        raise FormatMisfit(recipe.shape, "the task is a conversation", "Only single turns export.")
    needs_schema = recipe.shape in NEEDS_SCHEMA
    if needs_schema and recipe.schema is None:
        plain = ", ".join(shape for shape in ExportFormat if shape not in NEEDS_SCHEMA)
        raise FormatMisfit(recipe.shape, "the task's output is plain text", f"Use one of {plain}.")
    if needs_schema and recipe.thinking is Thinking.TAGGED:
        raise FormatMisfit(
            recipe.shape, "its answers are JSON, without <think>", "Use two_message_cot."
        )


def nothing_measured(run: TaskRun) -> bool:
    """Hold nothing back: for parts that were asked for by name."""
    return False


def lines_of(
    runs: Sequence[TaskRun], recipe: Recipe, is_measured: Callable[[TaskRun], bool]
) -> Written:
    """Return the runs as lines, in their order.

    Raises:
        FormatMisfit: An output is not what the format needs.
    """
    lines: list[str] = []
    held_back = without_thinking = unchecked = 0
    for run in runs:
        thoughts = run.intermediate_outputs or {}
        reasoning = thoughts.get("reasoning") or thoughts.get("chain_of_thought") or ""
        if is_measured(run):
            held_back += 1
        elif recipe.thinking is not Thinking.LEFT_OUT and not reasoning:
            without_thinking += 1
        else:
            lines.append(_line(run, reasoning, recipe))
            unchecked += _is_unchecked(run)
    return Written(tuple(lines), held_back, without_thinking, unchecked)


def _is_unchecked(run: TaskRun) -> bool:
    """Whether a run config gave the output and no person rated or repaired it."""
    source = run.output.source
    made = source is not None and source.type == "synthetic" and source.run_config_id is not None
    return made and run.output.rating is None and run.repaired_output is None


def _line(run: TaskRun, reasoning: str, recipe: Recipe) -> str:
    parts = (run.input, reasoning, run.best_output)
    example = example_of(recipe.instructions, parts, recipe.thinking, recipe.schema)
    try:
        return line_of(example, recipe.shape)
    except (json.JSONDecodeError, ValueError) as error:
        raise FormatMisfit(
            recipe.shape, f"run {run.id}: {error}", "Correct the run's output and try again."
        ) from error


def lines_of_file(lines: Sequence[str]) -> bytes:
    """Return what a JSONL file of these lines holds."""
    return "".join(f"{line}\n" for line in lines).encode()


def write_file(file: Path, content: bytes) -> None:
    """Write a file whole, or not at all.

    Raises:
        UnsafePath: It would lie in git's own folder.
        WriteError: The disk refused.
    """
    check_target(file)
    write_atomically(file, content)
