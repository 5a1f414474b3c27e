"""Choose what may be learnt from, and write it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from kiln_mcp.tuning.data_check import is_shown
from kiln_mcp.tuning.formats import (
    NEEDS_SCHEMA,
    ExportFormat,
    Instructions,
    Thinking,
    example_of,
    line_of,
)
from storage import Task, TaskRun
from storage.atomic_write import write_atomically
from storage.border import check_target
from storage.errors import Refusal
from storage.records.run import ANSWER_STATE


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
class PartLines:
    """The lines of one part, and how many of its items are not among them.

    Attributes:
        lines: One JSON text for each example.
        held_out_items: Items that an eval measures on.
        without_thinking: Items that lack the reasoning that the recipe wants.
        unreviewed_examples: Lines whose output a model gave and nobody rated or repaired.
        unusable_items: Items whose answer is truncated, refused or empty.
        shown_items: Items that the prompt shows with their answers.
        runs: The run of each line.
    """

    lines: tuple[str, ...]
    held_out_items: int
    without_thinking: int
    unreviewed_examples: int
    unusable_items: int = 0
    shown_items: int = 0
    runs: tuple[TaskRun, ...] = ()


def _misfit(shape: ExportFormat, reason: str, advice: str) -> Refusal:
    return Refusal(
        "The format {shape} cannot be used: {reason}. {advice}",
        shape=shape,
        reason=reason,
        advice=advice,
    )


def check_recipe(task: Task, recipe: Recipe) -> None:
    """Refuse what cannot be learnt in this format.

    Raises:
        Refusal: The task is a conversation or lacks the schema that the format needs.
    """
    if task.turn_mode == "multiturn":
        raise _misfit(recipe.shape, "the task is a conversation", "Only single turns export.")
    needs_schema = recipe.shape in NEEDS_SCHEMA
    if needs_schema and recipe.schema is None:
        plain = ", ".join(shape for shape in ExportFormat if shape not in NEEDS_SCHEMA)
        raise _misfit(recipe.shape, "the task's output is plain text", f"Use one of {plain}.")
    if needs_schema and recipe.thinking is Thinking.TAGGED:
        raise _misfit(recipe.shape, "its answers are JSON, without <think>", "Use two_message_cot.")


def nothing_measured(run: TaskRun) -> bool:
    """Hold nothing back: for parts that were asked for by name."""
    return False


def lines_of(
    runs: Sequence[TaskRun], recipe: Recipe, is_measured: Callable[[TaskRun], bool]
) -> PartLines:
    """Return the runs as lines, in their order.

    Raises:
        Refusal: An output is not what the format needs.
    """
    lines: list[str] = []
    exported_runs: list[TaskRun] = []
    held_out_count = without_thinking = unreviewed_count = unusable_count = shown_count = 0
    for run in runs:
        reasoning = run.reasoning or ""
        if is_measured(run):
            held_out_count += 1
        elif not run.is_usable:
            unusable_count += 1
        elif recipe.thinking is not Thinking.FINAL_ONLY and not reasoning:
            without_thinking += 1
        elif is_shown(run.input, run.best_output, recipe.instructions.full_text):
            shown_count += 1
        else:
            lines.append(_line(run, reasoning, recipe))
            exported_runs.append(run)
            unreviewed_count += _is_unreviewed(run)
    return PartLines(
        tuple(lines),
        held_out_count,
        without_thinking,
        unreviewed_count,
        unusable_count,
        shown_count,
        tuple(exported_runs),
    )


def _is_unreviewed(run: TaskRun) -> bool:
    """Whether a run config or a program gave the output, and no person rated or repaired it."""
    source = run.output.source
    is_generated = (
        source is not None
        and source.type == "synthetic"
        and (source.run_config_id is not None or ANSWER_STATE in source.properties)
    )
    return is_generated and run.output.rating is None and run.repaired_output is None


def _line(run: TaskRun, reasoning: str, recipe: Recipe) -> str:
    parts = (run.input, reasoning, run.best_output)
    example = example_of(recipe.instructions, parts, recipe.thinking, recipe.schema)
    try:
        return line_of(example, recipe.shape)
    except (json.JSONDecodeError, ValueError) as error:
        raise _misfit(
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
