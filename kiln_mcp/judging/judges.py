"""The judges of an eval that a call means."""

from collections.abc import Sequence

from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.lookups import load_measurement
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.judging.panel import panel_of
from kiln_mcp.labels.audit_lines import read_audits
from storage import EvalConfig, ProjectStore
from storage.errors import NextStep, Refusal
from storage.records.handles import choose


async def judges_to_compare(
    store: ProjectStore, task_eval: TaskEval, references: Sequence[str] | None
) -> list[Measurement]:
    """Return the named evaluators; without names all of the eval but members of a panel.

    Raises:
        Refusal: The eval has no evaluator.
    """
    configs = await store.children(task_eval.eval_record, EvalConfig)
    if not configs:
        raise Refusal(
            "The eval '{name}' has no evaluator.",
            name=task_eval.name,
            next=[NextStep(tool="create_evaluator", reason="create one")],
        )
    if references:
        configs = [choose(EvalConfig, configs, reference) for reference in references]
    else:
        configs = [config for config in configs if panel_of(config) is None]
    return [Measurement(store, task_eval.task, task_eval.eval_record, config) for config in configs]


async def judges_to_read(
    store: ProjectStore, task_eval: TaskEval, references: Sequence[str] | None
) -> list[Measurement]:
    """Return the named evaluators; without names the current one."""
    judges = await judges_to_compare(store, task_eval, references)
    return judges if references else [await load_measurement(store, task_eval, None)]


async def judges_to_certify(
    store: ProjectStore, task_eval: TaskEval, references: Sequence[str] | None
) -> list[Measurement]:
    """Return the named evaluators; without names those with an audit, or the current one."""
    judges = await judges_to_compare(store, task_eval, references)
    if references:
        return judges
    with_audit = [judge for judge in judges if await read_audits(store, judge.evaluator_record)]
    return with_audit or [await load_measurement(store, task_eval, None)]
