"""The labels that count in an audit, matched with its draws."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from kiln_mcp.labels.audit_lines import AuditDraw, AuditOpening, AuditRecord
from kiln_mcp.labels.ledger import Label
from kiln_mcp.statistics import (
    AuditDesign,
    AuditResult,
    DrawnPair,
    PairStratum,
    Scale,
    scale_of,
    unbiased_table,
)
from kiln_mcp.statistics.unbiased_table import Cell
from storage import EvalOutputScore

Doubt = Literal["for", "against"]
"""What an item without a label counts as: for the judge, or against it."""


@dataclass(frozen=True, slots=True)
class DrawnItem:
    """An item that an audit drew.

    Attributes:
        draw: Its draw.
        verdict: The judge's verdict.
        label: The first label that counts; None if there is none.
        is_changed: Whether its rater has said something else since.
        is_passed_over: Whether a rater passed it over, so that it is not shown again.
    """

    draw: AuditDraw
    verdict: float
    label: Label | None
    is_changed: bool = False
    is_passed_over: bool = False

    @property
    def has_value(self) -> bool:
        """Return whether its label says whether the judge is right."""
        return self.label is not None and self.label.state in {"value", "both"}

    def agrees(self, scale: Scale) -> bool | None:
        """Return whether verdict and label agree; None without a label that tells."""
        if self.label is None or not self.has_value:
            return None
        return self.label.state == "both" or self.label.value == scale.nearest(self.verdict)


@dataclass(frozen=True)
class LabelledAudit:
    """An audit with the labels of the items it drew.

    Attributes:
        record: The audit.
        score: The score of verdicts and labels.
        drawn: What it drew, in order.
        verdicts: The judge's, by item of the pool.
        of_others: Labels of its items by raters whom it is not about.
    """

    record: AuditRecord
    score: EvalOutputScore
    drawn: Sequence[DrawnItem]
    verdicts: Mapping[str, float]
    of_others: int = 0

    @property
    def scale(self) -> Scale:
        """The scale of its score."""
        return scale_of(self.score.type)

    @property
    def opening(self) -> AuditOpening:
        """What the audit froze."""
        return self.record.opening

    @cached_property
    def design(self) -> AuditDesign:
        """The sizes and priors of its strata."""
        strata = self.opening.strata
        return AuditDesign(
            tuple(len(stratum.items) for stratum in strata),
            tuple(stratum.prior for stratum in strata),
        )

    @cached_property
    def decided_items(self) -> Sequence[DrawnItem]:
        """The drawn items that count: up to the last one with a label."""
        last = max((n for n, item in enumerate(self.drawn, 1) if item.has_value), default=0)
        return self.drawn[:last]

    @property
    def waiting(self) -> Sequence[DrawnItem]:
        """The drawn items that have no label yet, and that nobody passed over."""
        return [item for item in self.drawn if item.label is None and not item.is_passed_over]

    @property
    def labelled_items(self) -> Sequence[DrawnItem]:
        """The drawn items with a label that tells."""
        return [item for item in self.decided_items if item.has_value]

    @property
    def skipped(self) -> Sequence[DrawnItem]:
        """The drawn items that count without a label that tells: passed over, or waiting."""
        return [item for item in self.decided_items if not item.has_value]

    @property
    def overdue(self) -> Sequence[DrawnItem]:
        """The drawn items that wait for a label which a later draw has."""
        return [
            item for item in self.decided_items if item.label is None and not item.is_passed_over
        ]

    @property
    def changed(self) -> Sequence[DrawnItem]:
        """The items whose label was changed after it had counted."""
        return [item for item in self.decided_items if item.is_changed]

    @property
    def both_count(self) -> int:
        """How many items have a label by which both verdicts can be defended."""
        return sum(
            item.label is not None and item.label.state == "both" for item in self.labelled_items
        )

    @property
    def raters(self) -> list[str]:
        """Whose labels count."""
        return sorted({item.label.rater for item in self.labelled_items if item.label})

    @property
    def times(self) -> list[datetime]:
        """When the labels were given, in order."""
        return sorted(item.label.at for item in self.labelled_items if item.label)

    def results(self, *, without_changed: bool = False) -> list[AuditResult]:
        """Return the results of the draws, in order.

        Args:
            without_changed: Whether labels that were changed count as skipped.
        """
        return [
            AuditResult(
                item.draw.stratum,
                item.draw.probabilities,
                None if without_changed and item.is_changed else item.agrees(self.scale),
            )
            for item in self.decided_items
        ]

    def counts(self) -> tuple[list[int], list[int], list[int]]:
        """Return items not drawn, labels, and agreements, by stratum."""
        left = list(self.design.sizes)
        labels, agreements = [0] * len(left), [0] * len(left)
        for item in self.drawn:
            left[item.draw.stratum] -= 1
            agrees = item.agrees(self.scale)
            labels[item.draw.stratum] += agrees is not None
            agreements[item.draw.stratum] += agrees is True
        return left, labels, agreements

    def pair_strata(self, doubt: Doubt | None = None) -> list[PairStratum]:
        """Return verdicts and labels by stratum, for estimates.

        Args:
            doubt: What skipped items count as; None to leave them out.
        """
        pairs: list[list[tuple[float, float]]] = [[] for _ in self.opening.strata]
        for item in self.decided_items:
            label = self._label_of(item, doubt)
            if label is not None:
                pairs[item.draw.stratum].append((item.verdict, label))
        is_first = self.opening.score == self.score.json_key
        return [
            PairStratum(len(stratum.items), own, stratum.verdict if is_first else None)
            for stratum, own in zip(self.opening.strata, pairs, strict=True)
        ]

    def table(self, doubt: Doubt) -> dict[Cell, float] | None:
        """Return the unbiased shares of verdicts and labels; None if every item is labelled."""
        drawn = [
            DrawnPair(
                item.draw.stratum,
                item.draw.probabilities[item.draw.stratum],
                item.verdict,
                label,
            )
            for item in self.decided_items
            if (label := self._label_of(item, doubt)) is not None
        ]
        if len(drawn) == self.design.total:
            return None
        verdicts = [
            Counter(self.verdicts[item] for item in stratum.items if item in self.verdicts)
            for stratum in self.opening.strata
        ]
        return unbiased_table(verdicts, self.scale, drawn)

    def _label_of(self, item: DrawnItem, doubt: Doubt | None) -> float | None:
        own = self.scale.nearest(item.verdict)
        if item.label is not None and item.label.state == "value":
            return item.label.value
        if item.label is not None and item.label.state == "both":
            return own
        if doubt is None:
            return None
        return own if doubt == "for" else self.scale.farthest(own)


def match_labels(
    record: AuditRecord,
    score: EvalOutputScore,
    verdicts: Mapping[str, float],
    labels: Sequence[Label],
) -> LabelledAudit:
    """Match an audit's draws with the labels of the ledger.

    Args:
        record: The audit.
        score: The score.
        verdicts: The judge's, by item; draws of items without one are left out.
        labels: The ledger.
    """
    opening = record.opening
    by_item: dict[str, list[Label]] = {draw.item: [] for draw in record.draws}
    of_others = 0
    for label in sorted(labels, key=lambda label: label.at):
        if label.score == score.json_key and label.item in by_item:
            if opening.counts_rater(label.rater):
                by_item[label.item].append(label)
            else:
                of_others += label.certifies
    drawn = [
        _drawn_item(draw, verdicts[draw.item], by_item[draw.item])
        for draw in record.draws
        if draw.item in verdicts
    ]
    return LabelledAudit(record, score, drawn, verdicts, of_others)


def _drawn_item(draw: AuditDraw, verdict: float, labels: Sequence[Label]) -> DrawnItem:
    first = next((label for label in labels if label.certifies), None)
    if first is None:
        is_passed_over = bool(labels) and labels[-1].state in {"skipped", "cannot_judge"}
        return DrawnItem(draw, verdict, None, is_passed_over=is_passed_over)
    later = [
        label
        for label in labels
        if label.at > first.at and label.rater == first.rater and label.purpose != "repeat"
    ]
    content = first.state, first.value
    return DrawnItem(
        draw, verdict, first, any((label.state, label.value) != content for label in later)
    )
