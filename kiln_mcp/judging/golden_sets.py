"""The golden sets of the evals that a call names, and the audit of their labels."""

from collections.abc import Container, Mapping, Sequence

from kiln_mcp.evals.lookups import all_evals, find_eval
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.evaluators.verdict_matrix import VerdictMatrix, read_verdict_matrix
from kiln_mcp.labels.golden_set import GoldenSet, open_golden_set
from kiln_mcp.labels.hygiene import label_faults
from kiln_mcp.labels.label_audit import LabelAudit, Verdicts, audit_labels, audited_labels
from kiln_mcp.labels.labelling_pass import LabellingPass
from kiln_mcp.labels.planted_faults import NAME, planted_faults
from storage import EvalConfig, ProjectStore
from storage.errors import InvalidValue, NextStep, Refusal


async def open_labelling_pass(
    store: ProjectStore, references: Sequence[str], *, may_be_empty: bool = False
) -> LabellingPass:
    """Open the golden sets of evals that are labelled together.

    Args:
        store: The project.
        references: The evals' names, ids or handles, each once or more.
        may_be_empty: Whether golden sets without items are taken.

    Raises:
        InvalidValue: The evals are of several tasks.
        Refusal: An eval has no golden set, or an empty one.
    """
    evals = [await find_eval(store, reference) for reference in references]
    distinct_evals = list({task_eval.id: task_eval for task_eval in evals}.values())
    if len({task_eval.task.id for task_eval in distinct_evals}) > 1:
        names = ", ".join(f"{e.name} ({e.task.name})" for e in distinct_evals)
        raise InvalidValue(
            "One labelling pass serves evals of one task, and these are of several: {names}. "
            "Label the evals of each task by themselves.",
            names=names,
        )
    return LabellingPass(
        [await open_golden_set(store, e, may_be_empty=may_be_empty) for e in distinct_evals]
    )


async def evals_to_label(store: ProjectStore, references: Sequence[str]) -> list[str]:
    """Return the evals that a person names; without one, all that have a golden set, as ids.

    Raises:
        Refusal: None is named, and there is none or they are of several tasks.
    """
    if references:
        return list(references)
    evals = [e for e in await all_evals(store) if e.eval_record.eval_configs_filter_id]
    if len({task_eval.task.id for task_eval in evals}) != 1:
        raise Refusal(
            "Name the evals to label outputs for: {names}.",
            names=[task_eval.name for task_eval in evals] or ["there is none with a golden set"],
            next=[NextStep(tool="create_evaluator", reason="create an `eval` with a golden set")],
        )
    return [task_eval.id for task_eval in evals]


async def audit_golden_set(
    store: ProjectStore, golden_set: GoldenSet, purpose: str = "all"
) -> dict[str, LabelAudit]:
    """Return the audit of each score's labels, by the score's key. No model is asked.

    Args:
        store: The project.
        golden_set: The golden set.
        purpose: Which labels: `certificate`, `development` or `all`.
    """
    record = golden_set.task_eval.eval_record
    evaluators = await store.children(record, EvalConfig)
    judges = {e.id for e in evaluators if evaluator_of(e).model is not None}
    matrix = await read_verdict_matrix(store, record, evaluators)
    faults = await planted_faults(store, golden_set)
    audits: dict[str, LabelAudit] = {}
    for score in golden_set.scores:
        runs = [
            run
            for run in golden_set.labelled_runs(score)
            if golden_set.has_purpose(run, score, purpose)
        ]
        audits[score.json_key] = audit_labels(
            audited_labels(golden_set, score, runs),
            _verdicts(matrix, judges, score.json_key, faults),
            label_faults(golden_set.timed_labels(runs, score)),
            score.type,
        )
    return audits


def _verdicts(
    matrix: VerdictMatrix, judges: Container[str], key: str, faults: Mapping[str, float]
) -> Verdicts:
    """Return the stored verdicts of one score, and what minimal pairs say of their outputs."""
    panel: dict[str, Mapping[str, float]] = {}
    checks: dict[str, Mapping[str, float]] = {NAME: faults} if faults else {}
    for member in matrix.members:
        members = panel if member.evaluator_id in judges else checks
        members[member.title] = matrix.column(member, key)
    return Verdicts(panel, checks)
