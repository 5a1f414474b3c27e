"""Audit the labels of a golden set with the verdicts that are stored."""

from collections.abc import Container, Mapping

from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.evaluators.verdict_matrix import VerdictMatrix, read_verdict_matrix
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.hygiene import label_faults
from kiln_mcp.labels.label_audit import AuditedLabel, LabelAudit, Verdicts, audit_labels
from storage import EvalConfig, EvalOutputScore, ProjectStore


async def audit_golden_set(store: ProjectStore, golden_set: GoldenSet) -> dict[str, LabelAudit]:
    """Return the audit of each score's labels, by the score's key. No model is asked."""
    record = golden_set.task_eval.eval_record
    evaluators = await store.children(record, EvalConfig)
    judges = {e.id for e in evaluators if evaluator_of(e).model is not None}
    matrix = await read_verdict_matrix(store, record, evaluators)
    audits: dict[str, LabelAudit] = {}
    for score in golden_set.scores:
        audits[score.json_key] = audit_labels(
            audited_labels(golden_set, score),
            _verdicts(matrix, judges, score.json_key),
            label_faults(golden_set.timed_labels(golden_set.labelled_runs(score), score)),
            score.type,
        )
    return audits


def audited_labels(golden_set: GoldenSet, score: EvalOutputScore) -> dict[str, AuditedLabel]:
    """Return the labels of a score that have a value, by item."""
    repeats = {
        (label.item, label.rater): label.value
        for label in golden_set.labels
        if label.score == score.json_key and label.purpose == "repeat"
    }
    labels: dict[str, AuditedLabel] = {}
    for run in golden_set.runs:
        value = golden_set.label(run, score)
        if value is None:
            continue
        last = golden_set.last_label(run, score)
        event = golden_set.certificate_label(run, score) or last
        labels[run.id] = AuditedLabel(
            value,
            is_hidden=golden_set.is_hidden(run, score),
            is_second_look=last is not None and last.purpose == "second_look",
            repeat=repeats.get((run.id, event.rater)) if event else None,
        )
    return labels


def _verdicts(matrix: VerdictMatrix, judges: Container[str], key: str) -> Verdicts:
    panel: dict[str, Mapping[str, float]] = {}
    checks: dict[str, Mapping[str, float]] = {}
    for member in matrix.members:
        members = panel if member.evaluator_id in judges else checks
        members[member.title] = matrix.column(member, key)
    return Verdicts(panel, checks)
