"""Find where judges and people's development labels differ, the worst first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.scales import decision_of, distance_of
from kiln_mcp.evaluators.verdict_matrix import VerdictMatrix
from kiln_mcp.labels.golden_set import DevelopmentLabel, GoldenSet
from kiln_mcp.labels.label_audit import DoubtfulLabel, LabelAudit
from storage import EvalOutputScore


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One score of one item on which a judge and a person differ.

    Attributes:
        judge: The judge.
        score: The score.
        item: The item.
        label: The person's label.
        value: The label's value.
        verdict: The judge's decision.
        distance: How far they are apart, from 0 to 1.
        panel: The decisions of all members, the judge included.
        doubt: What the audit of labels says against the label; None if nothing.
    """

    judge: Measurement
    score: EvalOutputScore
    item: str
    label: DevelopmentLabel
    value: float
    verdict: float
    distance: float
    panel: tuple[float, ...]
    doubt: DoubtfulLabel | None

    @property
    def supporters(self) -> int:
        """Return how many members of the panel agree with the label."""
        return sum(decision == self.value for decision in self.panel)

    @property
    def rank(self) -> tuple[float, bool, float, str]:
        """The place in a list: large distances first, then clear errors of the judge."""
        share = self.supporters / len(self.panel) if self.panel else 0.0
        return -self.distance, self.doubt is not None, -share, self.item


@dataclass(frozen=True, slots=True)
class ScoreDisagreements:
    """The disagreements of one judge on one score.

    Attributes:
        judge: The judge.
        score: The score.
        labels: Items with both a development label and a verdict.
        without_verdict: Items with a development label and no verdict.
        disagreements: Where they differ, the worst first.
    """

    judge: Measurement
    score: EvalOutputScore
    labels: int
    without_verdict: int
    disagreements: tuple[Disagreement, ...]

    def count(self, *, is_too_strict: bool) -> int:
        """Return how many verdicts are below their label, or above it."""
        return sum((entry.verdict < entry.value) == is_too_strict for entry in self.disagreements)


def find_disagreements(
    golden_set: GoldenSet,
    judges: Sequence[Measurement],
    matrix: VerdictMatrix,
    audits: Mapping[str, LabelAudit],
) -> list[ScoreDisagreements]:
    """Return where judges differ from development labels, by judge and score.

    Labels for the certificate are not looked at. Where each value can be defended, nothing differs.
    """
    return [
        _of_score(golden_set, judge, score, matrix, audits.get(score.json_key))
        for score in golden_set.scores
        for judge in judges
    ]


def _of_score(
    golden_set: GoldenSet,
    judge: Measurement,
    score: EvalOutputScore,
    matrix: VerdictMatrix,
    audit: LabelAudit | None,
) -> ScoreDisagreements:
    labels = golden_set.development_labels(score)
    doubts = {doubt.item: doubt for doubt in (audit.visible if audit else ())}
    member = matrix.member(judge.evaluator_record.id)
    verdicts = matrix.column(member, score.json_key) if member else dict[str, float]()
    panel = matrix.decisions(matrix.members, score.json_key, score.type)
    disagreements: list[Disagreement] = []
    for item, label in labels.items():
        if label.value is None or item not in verdicts:
            continue
        distance = distance_of(verdicts[item], label.value, score.type)
        if distance:
            verdict = decision_of(verdicts[item], score.type)
            disagreements.append(
                Disagreement(
                    judge,
                    score,
                    item,
                    label,
                    label.value,
                    verdict,
                    distance,
                    tuple(panel[item]),
                    doubts.get(item),
                )
            )
    count = sum(item in verdicts for item in labels)
    return ScoreDisagreements(
        judge,
        score,
        count,
        len(labels) - count,
        tuple(sorted(disagreements, key=lambda entry: entry.rank)),
    )
