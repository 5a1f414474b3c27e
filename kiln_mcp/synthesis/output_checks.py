"""Run the checks of a task's evals, which ask no model, on outputs that are to be right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiln_mcp.evals.trials_on_references import is_fail
from kiln_mcp.evaluators.evaluator import Evaluation, EvaluationContext, Evaluator
from kiln_mcp.evaluators.registry import evaluator_of, is_tried, load_evaluator
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.item_templates import Case
from kiln_mcp.workbench.workspace import Workspace
from storage import Eval, EvalConfig, ProjectStore, Task
from storage.errors import WorkbenchError


@dataclass(frozen=True, slots=True)
class _Check:
    """A check with the eval that it belongs to."""

    name: str
    evaluator: Evaluator
    context: EvaluationContext


@dataclass(frozen=True, slots=True)
class OutputChecks:
    """The checks of a task.

    Attributes:
        checks: Those that can run.
        unusable: Sentences on those that cannot, such as commands of a folder without trust.
    """

    checks: Sequence[_Check]
    unusable: Sequence[str]

    async def verdicts(self, task_input: str, output: str) -> Mapping[str, bool]:
        """Return whether an output passes each check that can say something of it, by name."""
        verdicts: dict[str, bool] = {}
        for check in self.checks:
            try:
                verdict = await check.evaluator.evaluate(Case(task_input, output), check.context)
            except EvalError:
                continue
            if isinstance(verdict, Evaluation):
                verdicts[check.name] = not is_fail(verdict, check.context)
        return verdicts


async def open_checks(workspace: Workspace, store: ProjectStore, task: Task) -> OutputChecks:
    """Return the checks of all evals of a task."""
    checks: list[_Check] = []
    unusable: list[str] = []
    for eval_record in await store.children(task, Eval):
        context = EvaluationContext(workspace.engine, eval_record, task, "synthesis/checks")
        for record in await store.children(eval_record, EvalConfig):
            if not is_tried(record):
                continue
            try:
                runnable_record = await load_evaluator(workspace, store, record)
            except WorkbenchError as error:
                unusable.append(f"The check '{record.name}' was left out. {error}")
                continue
            checks.append(_Check(record.name, evaluator_of(runnable_record), context))
    return OutputChecks(checks, unusable)
