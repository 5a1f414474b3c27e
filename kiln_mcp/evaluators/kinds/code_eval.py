"""Python code that a project holds, run in a worker process if its folder is trusted."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio.to_thread
from pydantic import Field, JsonValue

from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    EvaluatorDefinition,
    EvaluatorKind,
    Skipped,
    as_scores,
    missing_reference,
    properties_of,
)
from kiln_mcp.run_configs.errors import EvalError, unusable_template
from kiln_mcp.run_configs.item_templates import Case
from kiln_mcp.workbench.workspace import Workspace
from storage import CodeEval, Eval, EvalConfig, ProjectStore
from storage.errors import NextStep
from storage.format.layout import SCORER_FILE
from storage.isolation.outcomes import Failed, Invalid, Value
from storage.isolation.pool import shared_pool

LARGEST_CODE: Final = 65_536


class CodeDefinition(CodeEval, EvaluatorDefinition):
    """Python code with a function score() that returns numbers, run in a process of its own.

    The person must trust the project's folder first: `kiln-mcp trust`.
    """

    code: str = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        min_length=1,
        max_length=LARGEST_CODE,
        description="Defines score(output, trace, reference_data, task_input), with those "
        "parameters that it needs; returns a number, or numbers by score key.",
    )
    timeout_seconds: int = Field(default=10, ge=1, le=300, description="Seconds an item.")
    tool_allowlist: tuple[()] = Field(default=(), description="Must be empty: it calls no tools.")

    @property
    def program(self) -> str:
        """The code."""
        return self.code

    async def check_logic(self) -> None:
        """Refuse code that cannot be an evaluator; it is compiled, not run.

        Raises:
            EvalError: Its syntax is wrong, or it has no function score().
        """
        outcome = await shared_pool().ask("check_code", self.code, {"code": self.code})
        if isinstance(outcome, Invalid | Failed):
            raise unusable_template(self.code, outcome.reason)


@dataclass(frozen=True, slots=True)
class CodeEvaluator:
    """Runs the code on each output."""

    name: str
    properties: CodeEval
    model: str | None = None
    calls_per_item: int = 0

    async def evaluate(self, case: Case, context: EvaluationContext) -> Evaluation | Skipped:
        """Run the code on one output.

        Raises:
            EvalError: The code cannot be loaded, broke, passed a limit, or gave other scores than
                the eval has.
        """
        code = self.properties.code
        if code is None:
            raise EvalError(
                f"The code of the evaluator {self.name!r} was not loaded. Run the eval again."
            )
        skipped = missing_reference(self.properties.reference_keys, case)
        if skipped:
            return skipped
        names: dict[str, JsonValue] = {
            "output": case.final_message,
            "trace": None if case.trace is None else [dict(message) for message in case.trace],
            "reference_data": None if case.reference is None else dict(case.reference),
            "task_input": case.task_input,
        }
        seconds = self.properties.timeout_seconds
        arguments: dict[str, JsonValue] = {"code": code, "names": names, "seconds": seconds}
        outcome = await shared_pool().ask_alone("code", code, arguments, seconds)
        match outcome:
            case Value(value):
                return Evaluation(as_scores(_scores(value, context.eval_record)))
            case Invalid(reason):
                raise unusable_template(code, reason)
            case Failed(reason):
                raise EvalError(
                    f"The code of the evaluator {self.name!r} {reason}. This item has no score: "
                    "create an evaluator whose code handles it, or accept the gap."
                )


def _scores(value: JsonValue, eval_record: Eval) -> dict[str, float]:
    keys = [score.json_key for score in eval_record.output_scores]
    values = value if isinstance(value, dict) else dict.fromkeys(keys, value)
    scores = {key: float(score) for key, score in values.items() if isinstance(score, int | float)}
    fault = eval_record.fault_of(scores)
    if fault:
        raise EvalError(
            f"The code of the evaluator gave scores that do not fit the eval: {fault}. Its score() "
            f"must return a number for each of: {', '.join(keys)}."
        )
    return scores


async def _load(workspace: Workspace, store: ProjectStore, record: EvalConfig) -> EvalConfig:
    """Return a code evaluator with its code, read from the file beside it.

    Raises:
        Refusal: The person has not trusted the project's folder.
        EvalError: It calls tools, or its file cannot be read.
    """
    properties = properties_of(record, CodeEval)
    if properties.tool_allowlist:
        raise EvalError(
            f"The evaluator {record.name!r} is of kind code_eval that calls tools, which does not "
            "run here. Choose a judge or a deterministic check.",
            next=[NextStep(tool="create_evaluator", reason="create another")],
        )
    purpose = f"the code evaluator {record.name!r}"
    await anyio.to_thread.run_sync(workspace.trust.require_trust, store.folder, purpose)
    file = store.side_folder(record) / SCORER_FILE
    try:
        code = await anyio.to_thread.run_sync(_read, file)
    except (OSError, ValueError) as error:
        raise EvalError(
            f"The code of the evaluator {record.name!r} cannot be read from {file}: {error}. "
            "Put the file back, or use another evaluator.",
            next=[NextStep(tool="create_evaluator", reason="create another")],
        ) from error
    return record.replace(properties=properties.model_copy(update={"code": code}))


def _read(file: Path) -> str:
    """Return the text of a file that is no link and not too large."""
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(LARGEST_CODE + 1)
    if len(content) > LARGEST_CODE:
        raise ValueError(f"it is larger than {LARGEST_CODE // 1024} KB")
    return content.decode("utf-8")


def _open(record: EvalConfig) -> CodeEvaluator:
    return CodeEvaluator(record.name, properties_of(record, CodeEval))


KIND = EvaluatorKind("code_eval", _open, CodeDefinition, _load, is_tried=True)
