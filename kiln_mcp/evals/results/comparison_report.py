"""The report of a comparison of run configs, and the count of its use of the test part."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import anyio.to_thread

from kiln_mcp.datasets.parts import MeasuredPart
from kiln_mcp.evals.lookups import TaskEval, load_measurement
from kiln_mcp.evals.results.answers import ComparedConfig, Comparison
from kiln_mcp.evals.results.comparison_sentences import sentences_of
from kiln_mcp.evals.results.config_comparison import (
    DEFAULT_FLOOR,
    ComparedScore,
    ConfigCost,
    front_of,
    names_of,
)
from kiln_mcp.evals.results.config_scores import ConfigScores, read_config_scores
from kiln_mcp.evals.results.part_uses import UseNumber, count_use
from kiln_mcp.evals.sentences import after_comparison, comparison_warnings, empty_score_warnings
from kiln_mcp.evals.summaries import cost_of, seconds_of
from kiln_mcp.statistics import CannotTell, Interval
from storage import ProjectStore, TaskRunConfig
from storage.index.results import usage_means

_PAIR: Final = 2
_ERROR_OF_CHOICE: Final = 0.05
"""The error of a comparison on a part that is there to choose on, however often."""


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """What is to be compared.

    Attributes:
        run_configs: Names, ids or handles; "all" for all that have results.
        baseline: The one that the others are compared with; None for the pinned one, or the first.
        evaluator: The evaluator; None for the current one.
        part: The part of the items.
        floor: The points of a hundred that a score may lose.
    """

    run_configs: Sequence[str]
    baseline: str | None = None
    evaluator: str | None = None
    part: MeasuredPart = "test"
    floor: float = DEFAULT_FLOOR


async def comparison_report(
    store: ProjectStore, task_eval: TaskEval, request: ComparisonRequest, by: str
) -> Comparison:
    """Compare run configs on the same items; a use of the test part is counted.

    Args:
        store: The project.
        task_eval: The eval.
        request: What is to be compared.
        by: Who asks.

    Raises:
        Refusal: Fewer than two of them have results.
        RecordNotFound: There is no run config of a name.
    """
    measurement = await load_measurement(store, task_eval, request.evaluator)
    scores = await read_config_scores(
        measurement, request.run_configs, request.baseline, request.part
    )
    use: UseNumber | None = None
    if request.part == "test":
        use = await count_use(store, task_eval.eval_record, scores.claim, by)
    error = use.error if use else _ERROR_OF_CHOICE
    score_comparisons = await anyio.to_thread.run_sync(scores.compare, error, request.floor)
    costs = await _costs(scores)
    front = front_of(score_comparisons, costs)
    has_costs = any(cost != ConfigCost() for cost in costs)
    says = sentences_of(score_comparisons, scores.configs, 1 - error)
    return Comparison(
        eval=measurement.eval_record.name,
        evaluator=measurement.evaluator_record.name,
        baseline=scores.baseline.name,
        level=round(1 - error, 6),
        use=use.number if use else None,
        says=[*says, use.says] if use else says,
        rows=[row for score in score_comparisons for row in _rows(score, scores.configs, costs)],
        front=names_of(scores.configs, front) if has_costs else [],
        warnings=[
            *_missing_warnings(scores.missing),
            *comparison_warnings(measurement, scores.exclusions),
            *empty_score_warnings(scores.empty),
            *([use.problem] if use and use.problem else []),
        ],
        next=after_comparison(measurement),
    )


def _missing_warnings(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [f"Left out, because they share no scored item with the others: {', '.join(names)}."]


async def _costs(scores: ConfigScores) -> list[ConfigCost]:
    """Return what an output of each run config takes."""
    path = scores.measurement.evaluator_record.saved.path
    usages = await scores.measurement.store.ask(lambda index: usage_means(index, path))
    rows = [usages.get(config.id) for config in scores.configs]
    return [ConfigCost(cost_of(usage), seconds_of(usage)) for usage in rows]


def _rows(
    score: ComparedScore, configs: Sequence[TaskRunConfig], costs: Sequence[ConfigCost]
) -> list[ComparedConfig]:
    """Return the rows of a score, the best first; run configs without it are left out."""
    places = [place for place in range(len(configs)) if score.counts[place]]
    places.sort(key=lambda place: (-score.means[place], configs[place].name))
    return [_row(score, place, configs[place].name, costs[place]) for place in places]


def _row(score: ComparedScore, place: int, name: str, cost: ConfigCost) -> ComparedConfig:
    row = ComparedConfig(
        run_config=name,
        score=score.key,
        mean=round(score.means[place], 4),
        n=score.counts[place],
        may_be_best=place in score.best.candidates,
        floor_cleared=score.is_floor_cleared(place),
        usd_each=None if cost.usd is None else round(cost.usd, 6),
        seconds_each=None if cost.seconds is None else round(cost.seconds, 3),
    )
    own, best = score.against_baseline.get(place), score.against_best(place)
    if own is not None:
        low, high = _short_ends(own.interval)
        p_value = None if isinstance(own.p_value, CannotTell) else round(own.p_value, 4)
        row = row.model_copy(
            update={
                "difference": round(own.difference, 4),
                "low": low,
                "high": high,
                "p_value": p_value,
                "more_items": None if own.is_shown else own.more_items,
            }
        )
    if best is not None and len(score.means) > _PAIR:
        low, high = _short_ends(best.interval)
        behind = {"behind": round(best.difference, 4), "behind_low": low, "behind_high": high}
        row = row.model_copy(update=behind)
    return row


def _short_ends(interval: Interval | CannotTell) -> tuple[float | None, float | None]:
    """Return an interval's ends with the digits that matter among many rows."""
    if isinstance(interval, CannotTell):
        return None, None
    return round(interval.low, 3), round(interval.high, 3)
