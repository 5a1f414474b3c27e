"""Audit the labels of a golden set with the verdicts that are stored."""

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.hygiene import label_faults
from kiln_mcp.labels.label_audit import AuditedLabel, LabelAudit, Verdicts, audit_labels
from storage import EvalConfig, EvalOutputScore, ProjectStore


async def audit_golden_set(store: ProjectStore, golden_set: GoldenSet) -> dict[str, LabelAudit]:
    """Return the audit of each score's labels, by the score's key. No model is asked."""
    record = golden_set.task_eval.eval_record
    measurements = [
        Measurement(store, golden_set.task_eval.task, record, evaluator)
        for evaluator in await store.children(record, EvalConfig)
    ]
    audits: dict[str, LabelAudit] = {}
    for score in golden_set.scores:
        audits[score.json_key] = audit_labels(
            audited_labels(golden_set, score),
            await _verdicts(measurements, score.json_key),
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


async def _verdicts(measurements: list[Measurement], key: str) -> Verdicts:
    panel: dict[str, dict[str, float]] = {}
    checks: dict[str, dict[str, float]] = {}
    for measurement in measurements:
        members = panel if measurement.evaluator.model else checks
        members[measurement.evaluator_record.name] = await measurement.stored_scores(key)
    return Verdicts(panel, checks)
