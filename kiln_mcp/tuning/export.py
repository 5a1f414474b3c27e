"""Choose what may be learnt from, and write it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO

from pydantic import JsonValue

from kiln_mcp.tuning.data_check import DataExample, is_shown
from kiln_mcp.tuning.formats import (
    NEEDS_SCHEMA,
    ExportFormat,
    Instructions,
    Thinking,
    example_of,
    line_of,
)
from storage import Task, TaskRun
from storage.errors import Refusal
from storage.records.run import ANSWER_STATE
from storage.records.run_config import KilnAgentProperties


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


@dataclass(slots=True)
class PartCounts:
    """How many items of a part are lines of its file, and how many are left out.

    Attributes:
        examples: Lines.
        tokens: About, of all lines.
        held_out_items: Items that an eval measures on.
        without_thinking: Items that lack the reasoning that the recipe wants.
        unreviewed_examples: Lines whose output a model gave and nobody rated or repaired.
        unusable_items: Items whose answer is truncated, refused or empty.
        shown_items: Items that the prompt shows with their answers.
        deleted_items: Items of the split that are there no more.
    """

    examples: int = 0
    tokens: int = 0
    held_out_items: int = 0
    without_thinking: int = 0
    unreviewed_examples: int = 0
    unusable_items: int = 0
    shown_items: int = 0
    deleted_items: int = 0


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


class PartLines:
    """Takes the runs of a part one by one, writes their lines, and counts.

    Attributes:
        counts: Of the runs so far.

    Args:
        part: The part's name.
        recipe: How runs become lines.
        is_excluded: Whether a run is held back because an eval measures on it.
        out: Where the lines go.
    """

    def __init__(
        self, part: str, recipe: Recipe, is_excluded: Callable[[TaskRun], bool], out: IO[bytes]
    ) -> None:
        self.counts = PartCounts()
        self._part = part
        self._recipe = recipe
        self._is_excluded = is_excluded
        self._out = out

    def add(self, run: TaskRun) -> DataExample | None:
        """Write a run's line; return what the check reads of it, or None if it is left out.

        Raises:
            Refusal: Its output is not what the format needs.
        """
        counts, recipe, reasoning = self.counts, self._recipe, run.reasoning or ""
        if self._is_excluded(run):
            counts.held_out_items += 1
        elif not run.is_usable:
            counts.unusable_items += 1
        elif recipe.thinking is not Thinking.FINAL_ONLY and not reasoning:
            counts.without_thinking += 1
        elif is_shown(run.input, run.best_output, recipe.instructions.full_text):
            counts.shown_items += 1
        else:
            return self._write(run, _line(run, reasoning, recipe))
        return None

    def _write(self, run: TaskRun, line: str) -> DataExample:
        self._out.write(f"{line}\n".encode())
        self.counts.examples += 1
        self.counts.unreviewed_examples += _is_unreviewed(run)
        example = DataExample(
            part=self._part,
            line=self.counts.examples,
            run=run.id,
            input=run.input,
            answer=run.best_output,
            characters=len(line),
            has_tool_calls=any(
                (message.model_extra or {}).get("tool_calls") for message in run.trace or ()
            ),
            tools=_tools_of(run),
        )
        self.counts.tokens += example.tokens
        return example


def _tools_of(run: TaskRun) -> frozenset[str] | None:
    """Return the tools that a model could call when it made a run; None if that is not known."""
    config = None if run.output.source is None else run.output.source.run_config
    if not isinstance(config, KilnAgentProperties):
        return None
    return frozenset(config.tools_config.tools if config.tools_config else ())


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
