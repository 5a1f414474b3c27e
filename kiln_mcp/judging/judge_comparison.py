"""Compare several judges on the same labels at once, with intervals that hold together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.scales import decision_of
from kiln_mcp.judging.answers import JudgeComparison
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.statistics import CannotTell, Interval, best_mean, best_systems, score_columns
from kiln_mcp.statistics.stratified_comparison import SampledStratum, compare_by_strata
from storage import EvalOutputScore
from storage.index.results import RatedItem

BY_HAND = ""
"""Stands for the draw of items that somebody picked."""


@dataclass(frozen=True, slots=True)
class JudgedItems:
    """Judges with whether they agree with a person, on the items that all of them judged.

    Attributes:
        names: The judges.
        agreements: For each item, 1 or 0 for each judge.
        strata: The stratum of each item and its size; empty if all items count alike.
    """

    names: tuple[str, ...]
    agreements: Mapping[str, tuple[float, ...]]
    strata: Mapping[str, tuple[str, int]]


async def compare_judges(
    golden_set: GoldenSet,
    runs_by_score: Mapping[str, Sequence[RatedItem]],
    judges: Sequence[Measurement],
    seed: int,
) -> list[JudgeComparison]:
    """Return for each score which judges may be the best; none for a single judge.

    Only labels of one way of drawing are judgements: the one with the most. Strata count by size.
    """
    comparisons: list[JudgeComparison] = []
    for score in golden_set.scores:
        verdicts = {
            judge.evaluator_record.name: column
            for judge in judges
            if (column := await judge.stored_scores(score.json_key))
        }
        judgements = _agreements(golden_set, runs_by_score[score.json_key], score, verdicts)
        if judgements is not None:
            comparisons.append(_comparison(score.json_key, judgements, seed))
    return comparisons


def _agreements(
    golden_set: GoldenSet,
    runs: Sequence[RatedItem],
    score: EvalOutputScore,
    verdicts: Mapping[str, Mapping[str, float]],
) -> JudgedItems | None:
    """Return the judges on the items that all have judged; None for fewer than two judges."""
    labels = {
        run.id: decision_of(label, score.type)
        for run in runs
        if (label := golden_set.label(run, score)) is not None
        and all(run.id in column for column in verdicts.values())
    }
    items, strata = _of_one_draw(golden_set, [run for run in runs if run.id in labels], score)
    if len(verdicts) < 2 or not items:
        return None
    return JudgedItems(
        tuple(verdicts),
        {
            item: tuple(
                float(decision_of(column[item], score.type) == labels[item])
                for column in verdicts.values()
            )
            for item in items
        },
        strata,
    )


def _of_one_draw(
    golden_set: GoldenSet, runs: Sequence[RatedItem], score: EvalOutputScore
) -> tuple[list[str], dict[str, tuple[str, int]]]:
    """Return the items of the way of drawing with the most labels, and their strata."""
    draws = {draw.id: draw for draw in golden_set.draws}
    ways: dict[str, tuple[str, str]] = {}
    strata: dict[str, tuple[str, int]] = {}
    for run in runs:
        event = golden_set.certificate_label(run, score) or golden_set.last_label(run, score)
        draw = draws.get(event.draw or "") if event else None
        stratum = draw.strata.get(event.stratum or "") if draw and event else None
        if draw is None or event is None or stratum is None:
            ways[run.id] = (BY_HAND, "")
            continue
        ways[run.id] = (draw.purpose, draw.evaluator or "")
        strata[run.id] = (event.stratum or "", stratum.size)
    if not ways:
        return [], {}
    (way, _), *_ = Counter(ways.values()).most_common(1)
    items = [item for item, own in ways.items() if own == way]
    own_strata = {item: strata[item] for item in items if item in strata}
    return items, own_strata if len({name for name, _ in own_strata.values()}) > 1 else {}


def _comparison(key: str, judgements: JudgedItems, seed: int) -> JudgeComparison:
    names = judgements.names
    if judgements.strata:
        result = compare_by_strata(_sampled_strata(judgements), seed=seed)
        best, candidates = result.best, result.candidates
        fair_mean, low = result.fair_mean, result.low
        differences = {n: entry for n, entry in enumerate(result.differences) if n != best}
    else:
        columns = [
            {item: values[n] for item, values in judgements.agreements.items()}
            for n in range(len(names))
        ]
        table = score_columns(columns, (0.0, 1.0))
        systems, mean = best_systems(table, seed=seed), best_mean(table, seed=seed)
        best, candidates = systems.best, systems.candidates
        fair_mean, low = mean.corrected_mean, mean.low
        differences = {d.second: (d.difference, d.interval) for d in systems.differences}
    may_be_best = [names[n] for n in candidates]
    return JudgeComparison(
        score=key,
        labels=len(judgements.agreements),
        best=names[best],
        may_be_best=may_be_best,
        corrected_agreement=round(fair_mean, 4),
        at_least=round(low, 4),
        against_best={names[n]: _points(*entry) for n, entry in differences.items()},
        conclusion=_conclusion(names[best], may_be_best, len(names)),
    )


def _sampled_strata(judgements: JudgedItems) -> list[SampledStratum]:
    rows: dict[str, list[tuple[float, ...]]] = {}
    sizes: dict[str, int] = {}
    for item, (name, size) in judgements.strata.items():
        rows.setdefault(name, []).append(judgements.agreements[item])
        sizes[name] = max(size, sizes.get(name, 0))
    return [SampledStratum(max(sizes[name], len(own)), own) for name, own in rows.items()]


def _points(difference: float, interval: Interval | CannotTell) -> str:
    text = f"{difference * 100:+.0f} points"
    if isinstance(interval, CannotTell):
        return text
    return f"{text} ({interval.low * 100:+.0f} to {interval.high * 100:+.0f})"


def _conclusion(best: str, may_be_best: Sequence[str], judges: int) -> str:
    if len(may_be_best) == 1:
        return f"{best} agrees more than all others."
    if len(may_be_best) == judges:
        return f"Cannot tell which of the {judges} judges agrees most."
    return f"Cannot tell which of {len(may_be_best)} judges agrees most; the others agree less."
