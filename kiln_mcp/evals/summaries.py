"""Score tables: what each run config reached, with intervals, cost and time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from kiln_mcp.evals.comparison import mean_score
from kiln_mcp.statistics import CannotTell, Interval
from storage import EvalRun, TaskRun, TaskRunConfig, Usage


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """One score of one run config over a set of items.

    Attributes:
        run_config: The run config's name.
        score: The score's key.
        mean: The mean; the pass rate for pass and fail.
        interval: Its 95 % interval, or why there is none.
        count: Items with this score.
        exclusions: Items without it: skipped, failed or not yet run.
        cost_usd: Mean cost of an output; None if fewer than half report it.
        latency_s: Mean time of an output; None if fewer than half report it.
    """

    run_config: str
    score: str
    mean: float
    interval: Interval | CannotTell
    count: int
    exclusions: int
    cost_usd: float | None
    latency_s: float | None


def scores_by_item(
    verdicts: Sequence[EvalRun], run_config_id: str | None, score: str
) -> Mapping[str, float]:
    """Return one score of a run config by item; of stored outputs where the run config is None.

    Where an item has several results the oldest counts.
    """
    scores: dict[str, float] = {}
    for verdict in sorted(verdicts, key=lambda v: (v.created_at, v.id)):
        item = verdict.dataset_id or verdict.eval_input_id
        if verdict.task_run_config_id != run_config_id or verdict.skipped_reason or not item:
            continue
        if score in verdict.scores:
            scores.setdefault(item, verdict.scores[score])
    return scores


def score_lines(
    verdicts: Sequence[EvalRun],
    run_configs: Sequence[TaskRunConfig],
    scores: Sequence[str],
    items: Sequence[str],
    runs: Sequence[TaskRun],
) -> list[ScoreLine]:
    """Return the score table of run configs over items, the best first.

    Run configs without any score are left out.
    """
    outputs = {run.id: run.usage for run in runs}
    lines: list[ScoreLine] = []
    for config in run_configs:
        own = [v for v in verdicts if v.task_run_config_id == config.id]
        usages = [_usage(v, outputs) for v in own]
        for score in scores:
            by_item = scores_by_item(own, config.id, score)
            values = [by_item[item] for item in items if item in by_item]
            if not values:
                continue
            mean = mean_score(values)
            lines.append(
                ScoreLine(
                    run_config=config.name,
                    score=score,
                    mean=mean.mean,
                    interval=mean.interval,
                    count=len(values),
                    exclusions=len(items) - len(values),
                    cost_usd=_mean([u.cost if u else None for u in usages]),
                    latency_s=_seconds(usages),
                )
            )
    return sorted(lines, key=lambda line: (line.score, -line.mean, line.run_config))


def _usage(verdict: EvalRun, outputs: Mapping[str, Usage | None]) -> Usage | None:
    if verdict.scored_run_id:
        return outputs.get(verdict.scored_run_id)
    return verdict.task_run_usage


def _seconds(usages: Sequence[Usage | None]) -> float | None:
    mean = _mean([u.total_llm_latency_ms if u else None for u in usages])
    return None if mean is None else mean / 1000


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return fmean(numbers) if numbers and len(numbers) * 2 >= len(values) else None
