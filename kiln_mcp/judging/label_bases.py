"""Which labels a judge is measured by: those of one way of drawing, apart from all others.

Items of one stratum of a draw are a random sample of it, so estimates weigh strata by size. Labels
of items that somebody picked say nothing of other items. The two are never mixed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.judging.certificates.audit_labels import LabelledAudit, match_labels
from kiln_mcp.judging.certificates.audit_start import current_audit
from kiln_mcp.labels.golden_set import GoldenSet, strata_by_verdict
from kiln_mcp.labels.ledger import JUDGED, Draw, Label
from kiln_mcp.statistics import PairStratum, Scale, scale_of
from kiln_mcp.statistics.unbiased_table import Cell
from storage import EvalOutputScore
from storage.index.results import RatedItem

BasisKind = Literal["drawn", "by hand"]


@dataclass(frozen=True, slots=True)
class LabelBasis:
    """Labels that a judge is measured by.

    Attributes:
        kind: Whether their items were drawn at random, or picked.
        against: Verdicts and labels by stratum; items passed over count as disagreements.
        in_favour: The same, but they count as agreements; equal if nothing was passed over.
        labels: How many labels.
        skips: Items that were drawn and passed over, or that nobody can judge.
        other_labels: Labels of the same purpose that another way of drawing gave.
        table: The shares of the pool by verdict and label, if strata were drawn by what earlier
            labels said; items passed over count as disagreements.
    """

    kind: BasisKind
    against: Sequence[PairStratum]
    in_favour: Sequence[PairStratum]
    labels: int
    skips: int = 0
    other_labels: int = 0
    table: Mapping[Cell, float] | None = None


@dataclass(frozen=True, slots=True)
class _LabelledItem:
    """An item with verdict, the value of its label, and the event that it comes from."""

    item: str
    verdict: float
    value: float
    event: Label | None


async def label_bases(
    golden_set: GoldenSet,
    judge: Measurement,
    score: EvalOutputScore,
    runs: Sequence[RatedItem],
) -> list[LabelBasis]:
    """Return what a judge is measured by: drawn labels, then those for development.

    Args:
        golden_set: The golden set.
        judge: The judge, with verdicts on the items.
        score: The score.
        runs: The labelled items that are asked about.
    """
    verdicts = await judge.stored_scores(score.json_key)
    scale = scale_of(score.type)
    certificate: list[_LabelledItem] = []
    development: list[_LabelledItem] = []
    for run in runs:
        if run.id not in verdicts:
            continue
        event = golden_set.certificate_label(run, score)
        last = event or golden_set.last_label(run, score)
        is_both = golden_set.state(run, score) == "both"
        value = scale.nearest(verdicts[run.id]) if is_both else golden_set.label(run, score)
        if value is not None:
            part = certificate if event else development
            part.append(_LabelledItem(run.id, verdicts[run.id], value, last))
    drawing = _Drawing(golden_set, judge, score, verdicts)
    bases = [await drawing.certificate_basis(certificate), drawing.development_basis(development)]
    return [basis for basis in bases if basis is not None]


@dataclass(frozen=True, slots=True)
class _Drawing:
    """The ways in which items of a golden set were drawn."""

    golden_set: GoldenSet
    judge: Measurement
    score: EvalOutputScore
    verdicts: Mapping[str, float]

    @property
    def _scale(self) -> Scale:
        return scale_of(self.score.type)

    async def certificate_basis(self, items: Sequence[_LabelledItem]) -> LabelBasis | None:
        """Return the labels of the judge's own audit, or those of the draw with the most."""
        if not items:
            return None
        record = await current_audit(self.judge)
        if record is not None:
            labels = self.golden_set.labels
            audit = match_labels(record, self.score, self.verdicts, labels)
            if audit.labelled_items:
                return _of_audit(audit, len(items))
        drawn = self._group(items, "certificate")
        return self._drawn_basis(drawn, len(items)) if drawn else by_hand(items)

    def development_basis(self, items: Sequence[_LabelledItem]) -> LabelBasis | None:
        """Return labels for development: as drawn if all of them were drawn in one way."""
        if not items:
            return None
        drawn = self._group(items, "development")
        return self._drawn_basis(drawn, len(items)) if len(drawn) == len(items) else by_hand(items)

    def _group(self, items: Sequence[_LabelledItem], purpose: str) -> list[_LabelledItem]:
        """Return the items drawn by one judge's verdicts: by the own ones, or those of the most."""
        draws = {draw.id: draw for draw in self.golden_set.draws if draw.purpose == purpose}
        drawn = [
            (item, draws[item.event.draw])
            for item in items
            if item.event and item.event.draw in draws and item.event.stratum
        ]
        counts = Counter(draw.evaluator for _, draw in drawn)
        own = self.judge.evaluator_record.id
        best = max(counts, key=lambda e: (e == own, counts[e], e or ""), default=None)
        return [item for item, draw in drawn if draw.evaluator == best]

    def _drawn_basis(self, items: Sequence[_LabelledItem], every: int) -> LabelBasis:
        draws = self._draws_of(items)
        names = {item.item: item.event.stratum or "" for item in items if item.event}
        passed_over = self._passed_over(draws, names)
        sizes = {name: stratum.size for name, stratum in draws[-1].strata.items()}
        counts = Counter([*names.values(), *passed_over.values()])
        verdict_by_stratum = self._fixed_verdicts(draws[-1])
        strata = {
            is_for: [
                PairStratum(
                    max(sizes.get(name, 0), counts[name]),
                    [
                        *[(i.verdict, i.value) for i in items if names[i.item] == name],
                        *[self._doubt(i, is_for) for i, n in passed_over.items() if n == name],
                    ],
                    verdict_by_stratum.get(name),
                )
                for name in sorted({*sizes, *counts})
                if sizes.get(name, 0) or counts[name]
            ]
            for is_for in (False, True)
        }
        return LabelBasis(
            "drawn", strata[False], strata[True], len(items), len(passed_over), every - len(items)
        )

    def _draws_of(self, items: Sequence[_LabelledItem]) -> list[Draw]:
        """Return the draws of some items up to the last one with a label."""
        ids = {item.event.draw for item in items if item.event}
        same = {draw.evaluator for draw in self.golden_set.draws if draw.id in ids}
        purposes = {draw.purpose for draw in self.golden_set.draws if draw.id in ids}
        draws = [
            draw
            for draw in self.golden_set.draws
            if draw.evaluator in same and draw.purpose in purposes
        ]
        last = max(place for place, draw in enumerate(draws) if draw.id in ids)
        return draws[: last + 1]

    def _passed_over(
        self, draws: Sequence[Draw], labelled_items: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the strata of items that were drawn, and that have no label a later draw has."""
        key = self.score.json_key
        last_labels = {label.item: label for label in self.golden_set.labels if label.score == key}
        passed_over: dict[str, str] = {}
        for place, draw in enumerate(draws):
            for name, stratum in draw.strata.items():
                for item in stratum.drawn:
                    label = last_labels.get(item)
                    is_open = label is None or label.state not in JUDGED
                    cannot = label is not None and label.state == "cannot_judge"
                    is_over = cannot or (is_open and place < len(draws) - 1)
                    if item not in labelled_items and item in self.verdicts and is_over:
                        passed_over[item] = name
        return passed_over

    def _doubt(self, item: str, is_for: bool) -> tuple[float, float]:
        verdict = self.verdicts[item]
        own = self._scale.nearest(verdict)
        return verdict, own if is_for else self._scale.farthest(own)

    def _fixed_verdicts(self, draw: Draw) -> dict[str, float]:
        """Return the verdict of each stratum that the judge's own verdicts made."""
        if draw.evaluator != self.judge.evaluator_record.id:
            return {}
        strata = strata_by_verdict(self.golden_set.runs, self.verdicts, self.score)
        values = {
            name: {self.verdicts[item] for item in items if item in self.verdicts}
            for name, items in strata.items()
        }
        return {name: own.pop() for name, own in values.items() if len(own) == 1}


def by_hand(items: Sequence[_LabelledItem]) -> LabelBasis:
    """Return labels of items that somebody picked: they stand for themselves alone."""
    pairs = [(item.verdict, item.value) for item in items]
    strata = [PairStratum(len(pairs), pairs)]
    return LabelBasis("by hand", strata, strata, len(pairs))


def _of_audit(audit: LabelledAudit, every: int) -> LabelBasis:
    labels = len(audit.labelled_items)
    return LabelBasis(
        "drawn",
        audit.pair_strata("against"),
        audit.pair_strata("for"),
        labels,
        len(audit.skipped),
        every - labels,
        audit.table("against"),
    )
