"""Correct a rate by people's labels: those that were drawn at random among the same outputs.

A judge may be wrong in both directions, so its rate is off by more than its interval. Within a
stratum of a draw, and of the judge's verdict, the labels are a random sample: what they say holds
for the outputs of that stratum that nobody labelled. Labels that were picked by hand are known
answers of their own items and say nothing of others. Labels of other outputs are not used.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.rates import ItemVerdicts, threshold_of
from kiln_mcp.labels.golden_set import GoldenSet, open_golden_set, strata_by_verdict
from kiln_mcp.labels.ledger import Draw, read_labels
from kiln_mcp.statistics import CannotTell, Interval
from kiln_mcp.statistics.stratified_posterior import (
    RATE_STOPPING_LEVEL,
    Estimate,
    ShareStratum,
    share_estimate,
)
from storage import EvalConfig
from storage.errors import Refusal
from storage.index.results import RatedItem


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """The labels of some outputs.

    Attributes:
        drawn: Labels that a person confirmed, of items that were drawn at random.
        picked: Other labels and ratings: of items that somebody picked.
        skipped: Items that were drawn and passed over.
    """

    drawn: int = 0
    picked: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class CorrectedRate:
    """A rate as labels correct it, or why they do not.

    Attributes:
        counts: The labels of these outputs.
        share: The share of failures; None if labels do not correct it.
        interval: Its 95 % interval, or why there is none.
    """

    counts: LabelCounts
    share: float | None
    interval: Interval | CannotTell


NO_LABEL = CorrectedRate(LabelCounts(), None, CannotTell("no person has labelled these outputs"))


async def correct_rate(
    measurement: Measurement, verdicts: ItemVerdicts, seed: int = 0
) -> CorrectedRate:
    """Return the rate of failures among outputs with verdicts, as people's labels correct it."""
    store = measurement.store
    if not (await read_labels(store, measurement.eval_record)).entries or not verdicts.values:
        return NO_LABEL
    try:
        golden_set = await open_golden_set(store, measurement.task_eval)
    except Refusal:
        return NO_LABEL
    labels = _labels_of(golden_set, verdicts)
    counts = LabelCounts(len(labels.drawn), len(labels.picked), len(labels.skipped))
    if not labels.drawn:
        reason = "no label is of an output that was drawn at random"
        return CorrectedRate(counts, None, CannotTell(reason))
    outside = len(verdicts.values.keys() - labels.pool)
    if outside:
        reason = (
            f"the labels were drawn from the golden set, which lacks {outside} of these "
            f"{len(verdicts.values)} outputs"
        )
        return CorrectedRate(counts, None, CannotTell(reason))
    strata = await _strata_of_draws(measurement, golden_set, labels.draws, verdicts)
    estimate = _estimate(verdicts, labels, strata, seed)
    share = None if isinstance(estimate.value, CannotTell) else estimate.value
    return CorrectedRate(counts, share, estimate.interval)


@dataclass(frozen=True, slots=True)
class _Labels:
    """What people said of outputs, as whether they fail.

    Attributes:
        drawn: Of items that were drawn at random.
        picked: Of items that somebody picked.
        known: Those of them that were labelled before anything was drawn.
        skipped: Items that were drawn and passed over.
        draws: The draws.
        pool: The items of the golden set.
    """

    drawn: Mapping[str, bool]
    picked: Mapping[str, bool]
    known: Mapping[str, bool]
    skipped: Set[str]
    draws: Sequence[Draw]
    pool: Set[str]


def _labels_of(golden_set: GoldenSet, verdicts: ItemVerdicts) -> _Labels:
    score = verdicts.score
    threshold = threshold_of(score, is_judged=True)
    runs = [run for run in golden_set.runs if run.id in verdicts.values]
    drawn: dict[str, bool] = {}
    picked: dict[str, bool] = {}
    ids_of_draws: set[str] = set()
    for run in runs:
        certificate = golden_set.certificate_label(run, score)
        value = golden_set.label(run, score)
        if certificate is not None:
            drawn[run.id] = certificate.value < threshold
            ids_of_draws.add(certificate.draw or "")
        elif value is not None:
            picked[run.id] = value < threshold
    draws = [draw for draw in golden_set.draws if draw.id in ids_of_draws]
    first = min((draw.at for draw in draws), default=None)
    known = {
        run.id: picked[run.id]
        for run in runs
        if run.id in picked and _is_before(golden_set, run, verdicts, first)
    }
    skipped = _skipped(golden_set.draws, draws) - drawn.keys() - known.keys()
    pool = {run.id for run in golden_set.runs}
    return _Labels(drawn, picked, known, skipped & verdicts.values.keys(), draws, pool)


def _is_before(
    golden_set: GoldenSet, run: RatedItem, verdicts: ItemVerdicts, first: datetime | None
) -> bool:
    last = golden_set.last_label(run, verdicts.score)
    at = last.at if last else run.rated_at
    return first is not None and at is not None and at < first


def _skipped(all_draws: Sequence[Draw], labelled_draws: Sequence[Draw]) -> set[str]:
    """Return the items of draws after which others were drawn and labelled."""
    last = max((draw.at for draw in labelled_draws), default=None)
    if last is None:
        return set()
    return {
        item
        for draw in all_draws
        if draw.at < last and draw.purpose == "certificate"
        for stratum in draw.strata.values()
        for item in stratum.drawn
    }


async def _strata_of_draws(
    measurement: Measurement,
    golden_set: GoldenSet,
    draws: Sequence[Draw],
    verdicts: ItemVerdicts,
) -> Mapping[str, tuple[str, ...]]:
    """Return the stratum of each item in the draws of each judge that they were stratified by."""
    strata: dict[str, list[str]] = defaultdict(list)
    judge_ids = sorted({draw.evaluator for draw in draws if draw.evaluator})
    evaluators = await measurement.store.children(measurement.eval_record, EvalConfig)
    by_id = {record.id: record for record in evaluators}
    for judge_id in judge_ids:
        judge = by_id.get(judge_id)
        if judge is None or judge_id == measurement.evaluator_record.id:
            continue  # the own verdicts are strata already
        values = await measurement.of(judge).stored_scores(verdicts.key)
        for name, items in strata_by_verdict(golden_set.runs, values, verdicts.score).items():
            for item in items:
                strata[item].append(name)
    return {item: tuple(names) for item, names in strata.items()}


def _estimate(
    verdicts: ItemVerdicts, labels: _Labels, strata: Mapping[str, tuple[str, ...]], seed: int
) -> Estimate:
    """Return the share of failures with its interval; skipped items widen it both ways."""
    cells: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for item in verdicts.values:
        if item not in labels.known:
            own = round(verdicts.values[item])
            cells[(own, *strata.get(item, ()))].append(item)
    groups = [*cells.values(), list(labels.known)]

    def estimate(answers: Mapping[str, bool]) -> Estimate:
        strata = [
            ShareStratum(
                size=len(items),
                labels=sum(item in answers for item in items),
                successes=sum(answers.get(item, False) for item in items),
            )
            for items in groups
            if items
        ]
        return share_estimate(strata, RATE_STOPPING_LEVEL, seed)

    answers = {**labels.drawn, **labels.known}
    result = estimate(answers)
    if not labels.skipped:
        return result
    passes = estimate({**answers, **dict.fromkeys(labels.skipped, False)})
    fails = estimate({**answers, **dict.fromkeys(labels.skipped, True)})
    return Estimate(result.value, _hull([result.interval, passes.interval, fails.interval]))


def _hull(intervals: Sequence[Interval | CannotTell]) -> Interval | CannotTell:
    """Return the interval from the lowest end to the highest."""
    known = [interval for interval in intervals if isinstance(interval, Interval)]
    if not known:
        return CannotTell("the labels do not tell")
    low, high = min(i.low for i in known), max(i.high for i in known)
    return Interval(low, high, known[0].level)
