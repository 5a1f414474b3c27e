"""A command is run on the output, confined to a scratch folder, if the project is trusted."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import anyio.to_thread
from pydantic import JsonValue

from kiln_mcp.evaluators.checks import CheckResult
from kiln_mcp.evaluators.command_files import REFERENCE_FILE, CommandFiles, check_names
from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    EvaluatorKind,
    Skipped,
    WorkbenchDefinition,
    check_of,
    missing_reference,
)
from kiln_mcp.evaluators.number_scores import read_number, score_number
from kiln_mcp.evaluators.references import REFERENCE_KEY
from kiln_mcp.evaluators.text_comparison import json_text
from kiln_mcp.evaluators.trace import MISSING_TRACE
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.item_templates import Case
from kiln_mcp.workbench.workspace import Workspace
from storage import EvalConfig, EvalOutputScore, ProjectStore
from storage.isolation.commands import CommandResult, run_in_scratch
from storage.isolation.outcomes import Failed
from storage.records.workbench_checks import CommandCheck, WorkbenchCheck
from storage.text.excerpts import excerpt

LONGEST_DETAIL: Final = 300


class CommandDefinition(CommandCheck, WorkbenchDefinition):
    """A command is run on the output: exit code 0 passes, or it prints a number.

    Takes command (`{output}` is the file with the output), files of the project, programs that it
    starts. The person must trust the project's folder first: `kiln-mcp trust`.
    """

    @property
    def program(self) -> str:
        """The command line."""
        return shlex.join(self.command)

    async def check_logic(self) -> None:
        """Refuse names of files that lead out of the project or hide the output."""
        check_names(self)


@dataclass(frozen=True, slots=True)
class CommandEvaluator:
    """Runs the command on each output."""

    name: str
    properties: CommandCheck
    model: str | None = None
    calls_per_item: int = 0

    async def evaluate(self, case: Case, context: EvaluationContext) -> Evaluation | Skipped:
        """Run the command on one output.

        Raises:
            EvalError: It cannot be started, passed a limit, or was ended by a signal.
        """
        settings = self.properties
        if settings.project is None:
            raise EvalError(
                f"The command of the evaluator {self.name!r} was not loaded. Run the eval again."
            )
        files = CommandFiles(settings, Path(settings.project))
        if files.needs_reference and (missing := missing_reference((REFERENCE_KEY,), case)):
            return missing
        if files.needs_trace and case.trace is None:
            return MISSING_TRACE
        outcome = await run_in_scratch(partial(files.prepare, _contents(case, settings)))
        if isinstance(outcome, Failed):
            raise self._failure(outcome.reason)
        if outcome.exit_code < 0:
            raise self._failure(f"was ended by signal {-outcome.exit_code}")
        return self._evaluation(outcome, context.eval_record.output_scores)

    def _evaluation(
        self, result: CommandResult, output_scores: Sequence[EvalOutputScore]
    ) -> Evaluation:
        words = _last_words(result)
        if self.properties.result == "exit_code":
            detail = f"exit code {result.exit_code}{words}"
            return CheckResult(result.exit_code == 0, detail).as_evaluation(output_scores)
        last_line = result.output.decode("utf-8", "replace").strip().rpartition("\n")[2]
        number = read_number(last_line)
        if result.exit_code != 0 or number is None:
            raise self._failure(
                f"ended with exit code {result.exit_code} and the last line "
                f"{excerpt(last_line, 80)!r} instead of a number{words}"
            )
        return score_number(number, "the number", self.properties, output_scores)

    def _failure(self, reason: str) -> EvalError:
        return EvalError(
            f"The command of the evaluator {self.name!r} {reason}. This item has no score: correct "
            "the command in a new evaluator, or accept the gap."
        )


def _contents(case: Case, settings: CommandCheck) -> Mapping[str, str]:
    """Return the contents of the files that a command may read, by their names."""
    trace: list[JsonValue] = [dict(message) for message in case.trace or ()]
    reference: JsonValue = (case.reference or {}).get(REFERENCE_KEY)
    return {
        settings.output_file: case.final_message,
        "input.txt": case.task_input,
        REFERENCE_FILE: "" if reference is None else json_text(reference),
        "trace.json": json_text(trace),
    }


def _last_words(result: CommandResult) -> str:
    """Return the end of what a command wrote, errors first."""
    text = (result.errors.strip() or result.output.strip()).decode("utf-8", "replace")
    return f": {excerpt(text[-LONGEST_DETAIL:], LONGEST_DETAIL)}" if text else ""


async def _load(workspace: Workspace, store: ProjectStore, record: EvalConfig) -> EvalConfig:
    """Return a command evaluator with its project's folder.

    Raises:
        Refusal: The person has not trusted the folder.
        EvalError: A file or program that it names is not there.
    """
    settings = check_of(record, CommandCheck)
    purpose = f"the command evaluator {record.name!r}"
    await anyio.to_thread.run_sync(workspace.trust.require_trust, store.folder, purpose)
    await anyio.to_thread.run_sync(CommandFiles(settings, store.folder).check)
    check = settings.model_copy(update={"project": str(store.folder)})
    return record.replace(properties=WorkbenchCheck(kiln_mcp_check=check))


def _open(record: EvalConfig) -> CommandEvaluator:
    return CommandEvaluator(record.name, check_of(record, CommandCheck))


KIND = EvaluatorKind("command_check", _open, CommandDefinition, _load, is_tried=True)
