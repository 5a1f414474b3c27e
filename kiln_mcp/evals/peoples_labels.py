"""What people said of outputs, as whether they fail, and how these outputs were drawn."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.rates import ItemVerdicts, threshold_of
from kiln_mcp.labels.audit_lines import read_audits
from kiln_mcp.labels.golden_set import GoldenSet, strata_by_verdict
from kiln_mcp.labels.ledger import JUDGED, Draw
from storage import EvalConfig
from storage.index.results import RatedItem


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """The labels of some outputs.

    Attributes:
        drawn: Labels of items that were drawn at random.
        hand_labels: Other labels and ratings: of items that somebody picked, or older ones.
        skipped: Items that were drawn and passed over.
        waiting_labels: Labels for a certificate that wait for the person's yes.
        older_labels: Labels among the other ones that were drawn before the judge was made.
    """

    drawn: int = 0
    hand_labels: int = 0
    skipped: int = 0
    waiting_labels: int = 0
    older_labels: int = 0


@dataclass(frozen=True, slots=True)
class PeoplesLabels:
    """What people said of outputs, as whether they fail.

    Attributes:
        drawn: Of items that were drawn at random.
        hand_labels: Of items that somebody picked, or that were drawn before the judge was made.
        known_answers: Those of them that were labelled before anything was drawn.
        skipped: Items that were drawn, and passed over or cannot be judged.
        draws: The draws.
        pool: The items of the golden set.
        waiting_labels: How many labels for a certificate wait for the person's yes.
        older: Items that were drawn for development before the judge was made.
    """

    drawn: Mapping[str, bool]
    hand_labels: Mapping[str, bool]
    known_answers: Mapping[str, bool]
    skipped: Set[str]
    draws: Sequence[Draw]
    pool: Set[str]
    waiting_labels: int
    older: Set[str] = frozenset()

    def among(self, items: Set[str]) -> "PeoplesLabels":
        """Return the labels of these items alone."""
        return replace(
            self,
            drawn={item: fails for item, fails in self.drawn.items() if item in items},
            hand_labels={item: fails for item, fails in self.hand_labels.items() if item in items},
            known_answers={
                item: fails for item, fails in self.known_answers.items() if item in items
            },
            skipped=self.skipped & items,
            older=self.older & items,
        )

    @property
    def counts(self) -> LabelCounts:
        """How many there are of each kind."""
        return LabelCounts(
            len(self.drawn),
            len(self.hand_labels),
            len(self.skipped),
            self.waiting_labels,
            len(self.older),
        )


NO_LABELS: Final = PeoplesLabels({}, {}, {}, frozenset(), (), frozenset(), 0)


def labels_of(
    measurement: Measurement, golden_set: GoldenSet, verdicts: ItemVerdicts
) -> PeoplesLabels:
    """Return what people said of outputs with verdicts."""
    random_draws = _random_draws(measurement, golden_set)
    runs = [run for run in golden_set.runs if run.id in verdicts.values]
    drawn: dict[str, bool] = {}
    hand_labels: dict[str, bool] = {}
    skipped: set[str] = set()
    waiting_labels = 0
    used_draws: set[str] = set()
    all_draws = {draw.id for draw in golden_set.draws}
    older: set[str] = set()
    for run in runs:
        label = golden_set.certificate_label(run, verdicts.score)
        label = label or golden_set.last_label(run, verdicts.score)
        if label is not None and golden_set.waits(label):
            waiting_labels += 1
            continue
        is_drawn = label is not None and (label.certifies or label.draw in random_draws)
        fails = _fails(golden_set, run, verdicts)
        if label is not None and is_drawn and label.state in JUDGED:
            used_draws.add(label.draw or "")
            if fails is None:
                skipped.add(run.id)
            else:
                drawn[run.id] = fails
        elif fails is not None:
            hand_labels[run.id] = fails
            if label is not None and label.draw in all_draws:
                older.add(run.id)
    draws = [draw for draw in random_draws.values() if draw.id in used_draws]
    first = min((draw.at for draw in draws), default=None)
    known_answers = {
        run.id: hand_labels[run.id]
        for run in runs
        if run.id in hand_labels and _is_before(golden_set, run, verdicts, first)
    }
    skipped |= _skips(golden_set, verdicts.key, random_draws) & verdicts.values.keys()
    skipped |= _passed_over(random_draws.values(), draws) & verdicts.values.keys()
    return PeoplesLabels(
        drawn,
        hand_labels,
        known_answers,
        skipped - drawn.keys() - known_answers.keys(),
        draws,
        golden_set.ids,
        waiting_labels,
        frozenset(older),
    )


def _random_draws(measurement: Measurement, golden_set: GoldenSet) -> dict[str, Draw]:
    """Return the draws whose labels may correct an evaluator's rate, by id.

    Labels for development may have shaped the judge that came after them.
    """
    created_at = measurement.evaluator_record.created_at
    return {
        draw.id: draw
        for draw in golden_set.draws
        if draw.purpose == "certificate" or (draw.purpose == "development" and draw.at > created_at)
    }


def _fails(golden_set: GoldenSet, run: RatedItem, verdicts: ItemVerdicts) -> bool | None:
    """Return whether people say that an output fails; None if they do not say it.

    Where each value can be defended, the evaluator's counts.
    """
    match golden_set.state(run, verdicts.score):
        case "both":
            return verdicts.fails(run.id)
        case "value":
            value = golden_set.label(run, verdicts.score)
            threshold = threshold_of(verdicts.score, is_judged=True)
            return None if value is None else value < threshold
        case _:
            return None


def _is_before(
    golden_set: GoldenSet, run: RatedItem, verdicts: ItemVerdicts, first: datetime | None
) -> bool:
    last = golden_set.last_label(run, verdicts.score)
    at = last.at if last else run.rated_at
    return first is not None and at is not None and at < first


def _skips(golden_set: GoldenSet, key: str, draws: Mapping[str, Draw]) -> set[str]:
    """Return the drawn items that a person said to skip."""
    return {
        label.item
        for label in golden_set.labels
        if label.score == key and label.state == "skipped" and label.draw in draws
    }


def _passed_over(all_draws: Iterable[Draw], labelled_draws: Sequence[Draw]) -> set[str]:
    """Return the items of draws after which others were drawn and labelled."""
    last = max((draw.at for draw in labelled_draws), default=None)
    if last is None:
        return set()
    return {item for draw in all_draws if draw.at < last for item in draw.items}


async def strata_of_draws(
    measurement: Measurement,
    golden_set: GoldenSet,
    draws: Sequence[Draw],
    verdicts: ItemVerdicts,
) -> Mapping[str, tuple[str, ...]]:
    """Return the strata of each item in which it could be drawn.

    They are those of the audits that drew, and those by the verdicts of the other draws' judges.
    """
    strata: dict[str, list[str]] = defaultdict(list)
    evaluators = await measurement.store.children(measurement.eval_record, EvalConfig)
    judges = [record for record in evaluators if any(d.evaluator == record.id for d in draws)]
    for judge in judges:
        own_draws = {draw.id for draw in draws if draw.evaluator == judge.id}
        for audit in await read_audits(measurement.store, judge):
            audit_draws = {draw.draw for draw in audit.draws} & own_draws
            own_draws -= audit_draws
            for stratum in audit.opening.strata if audit_draws else ():
                for item in stratum.items:
                    strata[item].append(stratum.name)
        if own_draws and judge.id != measurement.evaluator_record.id:  # own verdicts are cells
            values = await measurement.of(judge).stored_scores(verdicts.key)
            by_verdict = strata_by_verdict(golden_set.runs, values, verdicts.score)
            for name, items in by_verdict.items():
                for item in items:
                    strata[item].append(name)
    return {item: tuple(names) for item, names in strata.items()}
