"""Find where judges and people's development labels differ, the worst first."""

from collections.abc import Sequence
from dataclasses import dataclass

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.verdict_matrix import VerdictMatrix
from kiln_mcp.evaluators.scales import decision_of, distance_of
from kiln_mcp.judging.development_labels import DevelopmentLabel, development_labels
from kiln_mcp.judging.suspicious_labels import is_suspicious, share_with
from kiln_mcp.labels.golden_set import GoldenSet
from storage import EvalOutputScore


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One score of one item on which a judge and a person differ.

    Attributes:
        judge: The judge.
        score: The score.
        label: The person's label.
        verdict: The judge's decision.
        distance: How far they are apart, from 0 to 1.
        panel: The decisions of all members, the judge included.
    """

    judge: Measurement
    score: EvalOutputScore
    label: DevelopmentLabel
    verdict: float
    distance: float
    panel: tuple[float, ...]

    @property
    def is_label_suspicious(self) -> bool:
        """Whether nearly all of the panel contradicts the label."""
        return is_suspicious(self.label.value, self.panel, self.score.type)

    @property
    def rank(self) -> tuple[float, bool, float, str]:
        """The place in a list: large distances first, then clear errors of the judge."""
        share = share_with(self.label.value, self.panel, self.score.type) or 0.0
        return -self.distance, self.is_label_suspicious, -share, self.label.run.id


@dataclass(frozen=True, slots=True)
class ScoreDisagreements:
    """The disagreements of one judge on one score.

    Attributes:
        judge: The judge.
        score: The score.
        compared: Items with both a development label and a verdict.
        unjudged: Items with a development label and no verdict.
        disagreements: Where they differ, the worst first.
    """

    judge: Measurement
    score: EvalOutputScore
    compared: int
    unjudged: int
    disagreements: tuple[Disagreement, ...]

    def count(self, *, is_too_strict: bool) -> int:
        """Return how many verdicts are below their label, or above it."""
        return sum(
            (entry.verdict < entry.label.value) == is_too_strict for entry in self.disagreements
        )


def find_disagreements(
    golden_set: GoldenSet, judges: Sequence[Measurement], matrix: VerdictMatrix
) -> list[ScoreDisagreements]:
    """Return where judges differ from development labels, by judge and score.

    Labels for the certificate are not looked at.
    """
    results: list[ScoreDisagreements] = []
    for score in golden_set.scores:
        labels = development_labels(golden_set, score)
        panel = matrix.decisions(matrix.members, score.json_key, score.type)
        for judge in judges:
            member = matrix.member(judge.evaluator_record.id)
            verdicts = matrix.column(member, score.json_key) if member else {}
            entries = [
                Disagreement(
                    judge,
                    score,
                    label,
                    decision_of(verdicts[label.run.id], score.type),
                    distance_of(verdicts[label.run.id], label.value, score.type),
                    tuple(panel[label.run.id]),
                )
                for label in labels
                if label.run.id in verdicts
            ]
            disagreements = sorted((e for e in entries if e.distance), key=lambda e: e.rank)
            results.append(
                ScoreDisagreements(
                    judge, score, len(entries), len(labels) - len(entries), tuple(disagreements)
                )
            )
    return results
