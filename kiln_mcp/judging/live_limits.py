"""The limits of a judge's audit while a person labels: they narrow with each label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiln_mcp.judging.batches import judge_of
from kiln_mcp.judging.certificates.audit_labels import match_labels
from kiln_mcp.judging.certificates.audit_start import current_audit
from kiln_mcp.labels.audit_lines import AuditRecord
from kiln_mcp.labels.labelling_pass import LabellingPass
from kiln_mcp.labels.ledger import Label
from kiln_mcp.statistics import audit_standing
from storage import EvalOutputScore, ProjectStore


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """An audit whose limits are told after each label.

    Attributes:
        judge: The judge's name.
        record: The audit.
        score: Its score.
        verdicts: The judge's, by item.
    """

    judge: str
    record: AuditRecord
    score: EvalOutputScore
    verdicts: Mapping[str, float]

    def sentence(self, labels: Sequence[Label], rater: str) -> str:
        """Return between which limits judge and rater agree, after some labels."""
        named_rater = self.record.opening.rater
        if named_rater not in {"", rater}:
            return f"The audit of {self.judge} counts the labels of {named_rater} alone."
        audit = match_labels(self.record, self.score, self.verdicts, labels)
        standing = audit_standing(audit.design, audit.results())
        limits = standing.limits
        return (
            f"{self.judge} agrees with you on {limits.low:.0%} to {limits.high:.0%}, "
            f"after {standing.labels} labels."
        )


async def live_limits(
    store: ProjectStore, labelling: LabellingPass, evaluator: str | None
) -> LiveLimits | None:
    """Return the limits of the audit that draws for a judge; None if there is none."""
    judge = await judge_of(store, labelling, evaluator)
    if judge is None:
        return None
    score = labelling.first.scores[0]
    record = await current_audit(judge)
    if record is None:
        return None
    verdicts = await judge.stored_scores(score.json_key)
    return LiveLimits(judge.evaluator_record.name, record, score, verdicts)
