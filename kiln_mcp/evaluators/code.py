"""Code evaluators: Python that a project holds, run in a worker if its folder is trusted."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio.to_thread
from pydantic import JsonValue

from kiln_mcp.evaluators.checks import Skipped
from kiln_mcp.evaluators.errors import UnsupportedEvaluator
from kiln_mcp.run_configs.errors import EvalError, UnusableTemplate
from kiln_mcp.run_configs.templates import Case
from kiln_mcp.workbench.workspace import Workspace
from storage import CodeEval, Eval, EvalConfig, ProjectStore
from storage.format.layout import SCORER_FILE
from storage.isolation.outcomes import Failed, Invalid, Value
from storage.isolation.pool import shared_pool

LARGEST_CODE: Final = 65_536


async def check_code(code: str) -> None:
    """Refuse code that cannot be an evaluator; it is compiled, not run.

    Raises:
        UnusableTemplate: Its syntax is wrong, or it has no function score().
    """
    outcome = await shared_pool().ask("check_code", code, {"code": code})
    if isinstance(outcome, Invalid | Failed):
        raise UnusableTemplate(code, outcome.reason)


async def with_code(workspace: Workspace, store: ProjectStore, judge: EvalConfig) -> EvalConfig:
    """Return a code evaluator with its code, read from beside it; any other as it is.

    Raises:
        Refusal: The person has not trusted the project's folder.
        UnsupportedEvaluator: It calls tools.
        EvalError: Its file cannot be read.
    """
    properties = judge.properties
    if not isinstance(properties, CodeEval):
        return judge
    if properties.tool_allowlist:
        raise UnsupportedEvaluator(judge.name, "code_eval that calls tools")
    what = f"the code evaluator {judge.name!r}"
    await anyio.to_thread.run_sync(workspace.trust.require_trust, store.folder, what)
    file = store.side_folder(judge) / SCORER_FILE
    try:
        code = await anyio.to_thread.run_sync(_read, file)
    except (OSError, ValueError) as error:
        raise EvalError(
            f"The code of the evaluator {judge.name!r} cannot be read from {file}: {error}. "
            "Put the file back, or make another evaluator with create_evaluator."
        ) from error
    return judge.replace(properties=properties.model_copy(update={"code": code}))


def _read(file: Path) -> str:
    """Return the text of a file that is no link and not too large."""
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as opened:
        content = opened.read(LARGEST_CODE + 1)
    if len(content) > LARGEST_CODE:
        raise ValueError(f"it is larger than {LARGEST_CODE // 1024} KB")
    return content.decode("utf-8")


async def run_scorer(
    properties: CodeEval, code: str, measured: Eval, case: Case
) -> Mapping[str, float] | Skipped:
    """Return the scores that code gives to one case.

    Raises:
        UnusableTemplate: The code cannot be loaded.
        EvalError: It broke, passed a limit, or gave other scores than the eval has.
    """
    for key in properties.reference_keys:
        if (case.reference or {}).get(key) is None:
            return Skipped("missing_reference_key", f"The item has no reference {key!r}.")
    names: dict[str, JsonValue] = {
        "output": case.final_message,
        "trace": None if case.trace is None else [dict(message) for message in case.trace],
        "reference_data": None if case.reference is None else dict(case.reference),
        "task_input": case.task_input,
    }
    seconds = properties.timeout_seconds
    arguments: dict[str, JsonValue] = {"code": code, "names": names, "seconds": seconds}
    outcome = await shared_pool().ask_alone("code", code, arguments, seconds)
    match outcome:
        case Value(value):
            return _scores(value, measured)
        case Invalid(reason):
            raise UnusableTemplate(code, reason)
        case Failed(reason):
            raise EvalError(f"The code of the evaluator {reason}. This item has no score.")


def _scores(value: JsonValue, measured: Eval) -> dict[str, float]:
    keys = [score.json_key for score in measured.output_scores]
    given = value if isinstance(value, dict) else dict.fromkeys(keys, value)
    scores = {key: float(score) for key, score in given.items() if isinstance(score, int | float)}
    fault = measured.fault_of(scores)
    if fault:
        raise EvalError(f"The code of the evaluator gave scores that do not fit the eval: {fault}.")
    return scores
