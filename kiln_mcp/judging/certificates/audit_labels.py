"""The labels that count in an audit, matched with its draws."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from kiln_mcp.labels.audit_lines import AuditDraw, AuditOpening, AuditRecord, is_same_rater
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
        label: The label that counts: the rater's first, or the majority's; None if there is none.
        is_changed: Whether its rater has said something else since.
        is_split: Whether several raters labelled it, and no majority says the same.
        is_passed_over: Whether a rater passed it over, so that it is not shown again.
    """

    draw: AuditDraw
    verdict: float
    label: Label | None
    is_changed: bool = False
    is_passed_over: bool = False
    is_split: bool = False

    @property
    def waits(self) -> bool:
        """Return whether it needs a label that nobody has given or refused."""
        return self.label is None and not self.is_passed_over and not self.is_split

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
        """The drawn items that count: up to the last one that people decided on."""
        places = (n for n, item in enumerate(self.drawn, 1) if item.has_value or item.is_split)
        last = max(places, default=0)
        return self.drawn[:last]

    @property
    def waiting(self) -> Sequence[DrawnItem]:
        """The drawn items that have no label yet, and that nobody passed over."""
        return [item for item in self.drawn if item.waits]

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
        return [item for item in self.decided_items if item.waits]

    @property
    def split(self) -> Sequence[DrawnItem]:
        """The drawn items that count without a label, because their raters differ."""
        return [item for item in self.decided_items if item.is_split]

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
    first_labels = _first_labels(labels)
    if not first_labels:
        is_passed_over = bool(labels) and labels[-1].state in {"skipped", "cannot_judge"}
        return DrawnItem(draw, verdict, None, is_passed_over=is_passed_over)
    contents = Counter(map(_content, first_labels))
    content, count = contents.most_common(1)[0]
    if 2 * count <= len(first_labels):
        return DrawnItem(draw, verdict, None, is_split=True)
    counting = [label for label in first_labels if _content(label) == content]
    is_changed = any(
        _content(label) != content
        for label in labels
        for first in counting
        if label.at > first.at
        and is_same_rater(label.rater, first.rater)
        and label.purpose != "repeat"
    )
    return DrawnItem(draw, verdict, counting[0], is_changed)


def _first_labels(labels: Sequence[Label]) -> list[Label]:
    """Return each rater's first label that counts, the oldest first."""
    first_labels: list[Label] = []
    for label in labels:
        if label.certifies and not any(
            is_same_rater(label.rater, other.rater) for other in first_labels
        ):
            first_labels.append(label)
    return first_labels


def _content(label: Label) -> tuple[str, float | None]:
    return label.state, label.value
