"""Compare several judges on the same labels at once, with intervals that hold together."""

from collections.abc import Mapping, Sequence

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evaluators.scales import decision_of
from kiln_mcp.judging.answers import JudgeComparison
from kiln_mcp.labels.golden_set import GoldenSet
from kiln_mcp.statistics import Interval, best_mean, best_systems, score_columns
from storage import EvalOutputScore
from storage.index.results import RatedItem


async def compare_judges(
    golden_set: GoldenSet,
    runs_by_score: Mapping[str, Sequence[RatedItem]],
    judges: Sequence[Measurement],
    seed: int,
) -> list[JudgeComparison]:
    """Return for each score which judges may be the best; none for a single judge.

    Labelled items count alike, whatever stratum they were drawn from: all judges see the same ones.
    """
    comparisons: list[JudgeComparison] = []
    for score in golden_set.scores:
        columns: dict[str, dict[str, float]] = {}
        for judge in judges:
            verdicts = await judge.stored_scores(score.json_key)
            column = _agreements(golden_set, runs_by_score[score.json_key], score, verdicts)
            if column:
                columns[judge.evaluator_record.name] = column
        if len(columns) > 1:
            comparisons.append(_comparison(score.json_key, columns, seed))
    return comparisons


def _agreements(
    golden_set: GoldenSet,
    runs: Sequence[RatedItem],
    score: EvalOutputScore,
    verdicts: Mapping[str, float],
) -> dict[str, float]:
    """Return for each item with label and verdict whether the two agree."""
    return {
        run.id: float(decision_of(verdicts[run.id], score.type) == decision_of(label, score.type))
        for run in runs
        if run.id in verdicts and (label := golden_set.label(run, score)) is not None
    }


def _comparison(key: str, columns: Mapping[str, Mapping[str, float]], seed: int) -> JudgeComparison:
    names = [*columns]
    table = score_columns([*columns.values()], (0.0, 1.0))
    best, mean = best_systems(table, seed=seed), best_mean(table, seed=seed)
    differences = {names[d.second]: d for d in best.differences}
    may_be_best = [names[column] for column in best.candidates]
    points = {
        name: f"{difference.difference * 100:+.0f} points"
        + (
            f" ({difference.interval.low * 100:+.0f} to {difference.interval.high * 100:+.0f})"
            if isinstance(difference.interval, Interval)
            else ""
        )
        for name, difference in differences.items()
    }
    return JudgeComparison(
        score=key,
        best=names[best.best],
        may_be_best=may_be_best,
        corrected=round(mean.corrected, 4),
        at_least=round(mean.low, 4),
        against_best=points,
        conclusion=_conclusion(names[best.best], may_be_best, len(names)),
    )


def _conclusion(best: str, may_be_best: Sequence[str], judges: int) -> str:
    if len(may_be_best) == 1:
        return f"{best} agrees more than all {judges - 1} others."
    if len(may_be_best) == judges:
        return f"Cannot tell which of the {judges} judges agrees most."
    return f"Cannot tell which of {len(may_be_best)} judges agrees most; the others agree less."
