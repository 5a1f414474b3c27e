"""What a report says of the labels themselves, before it says anything of judges."""

from collections.abc import Mapping

from pydantic import Field, JsonValue

from kiln_mcp.judging.golden_sets import audit_golden_set
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.labels.label_audit import LabelAudit
from kiln_mcp.labels.label_words import label_text
from kiln_mcp.workbench.capability import Result
from storage import ProjectStore
from storage.errors import NextStep

MOST_SHOWN = 15
"""Doubtful labels that a report shows."""


class DoubtfulItem(Result):
    """A label that is worth a second look. Only a person may change it."""

    item: str
    score: str
    label: str
    why: str


class LabelDoubts(Result):
    """What the audit of an eval's labels shows."""

    cannot_measure: list[str] = Field(
        default=[], description="Scores whose labels measure no judge, so none is ranked by them."
    )
    reasons: list[str] = Field(default=[], description="Why.")
    repeats: list[str] = Field(default=[], description="How far raters agree with themselves.")
    look_again: list[DoubtfulItem] = Field(default=[], description="The worst first.")
    further_labels: int = Field(default=0, description="Further labels in doubt.")
    hidden_labels: int = Field(default=0, description="Of them, for a certificate, and unseen.")


async def label_doubts(
    store: ProjectStore, golden_set: GoldenSet, purpose: str = "all"
) -> LabelDoubts:
    """Return what the audit of the labels of a purpose shows, with the stored verdicts."""
    return describe_doubts(golden_set, await audit_golden_set(store, golden_set, purpose))


def describe_doubts(golden_set: GoldenSet, audits: Mapping[str, LabelAudit]) -> LabelDoubts:
    """Return the audits of an eval's scores as one answer."""
    several = len(golden_set.scores) > 1
    scores = {score.json_key: score for score in golden_set.scores}
    pairs = [(key, label) for key, audit in audits.items() for label in audit.visible]
    pairs.sort(key=lambda pair: tuple(-part for part in pair[1].weight))
    doubtful = sum(len(audit.doubtful) for audit in audits.values())
    return LabelDoubts(
        cannot_measure=[key for key, audit in audits.items() if not audit.can_measure],
        reasons=[
            f"{scores[key].name}: {fault}" if several else fault
            for key, audit in audits.items()
            for fault in audit.faults
        ],
        repeats=[
            f"{scores[key].name}: {audit.same_repeats} of {audit.repeats} items that their raters "
            "saw again, blind, got the same label."
            for key, audit in audits.items()
            if audit.repeats
        ],
        look_again=[
            DoubtfulItem(
                item=label.item,
                score=key,
                label=label_text(label.value, scores[key].type),
                why=label.why,
            )
            for key, label in pairs[:MOST_SHOWN]
        ],
        further_labels=max(0, len(pairs) - MOST_SHOWN),
        hidden_labels=doubtful - len(pairs),
    )


def doubt_sentences(doubts: LabelDoubts, eval_name: str) -> list[str]:
    """Return the sentence that comes before all others in a report, if there is one."""
    if not doubts.cannot_measure:
        return []
    items = len(doubts.look_again) + doubts.further_labels + doubts.hidden_labels
    advice = f"look again at the {items} items named here" if items else "label the items again"
    return [
        f"These labels of {eval_name!r} cannot measure any judge; {advice}. No judge is ranked by "
        "them: the fault lies with the labels, not with the judges."
    ]


def steps_to_mend(doubts: LabelDoubts, eval_name: str) -> list[NextStep]:
    """Return the call that shows a person the labels in doubt again, blind."""
    if not (doubts.look_again or doubts.hidden_labels):
        return []
    arguments: dict[str, JsonValue] = {"eval": eval_name, "purpose": "second_look"}
    reason = "show a person the labels in doubt again, blind"
    return [NextStep(tool="draw_items_to_label", reason=reason, arguments=arguments)]
