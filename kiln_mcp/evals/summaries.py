"""Score tables: what each run config reached, with intervals, cost and time."""

from collections.abc import Sequence
from dataclasses import dataclass

from kiln_mcp.evals.comparison import mean_of_items, range_of
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.scored_outputs import ScoredOutputs
from kiln_mcp.statistics import CannotTell, Interval
from storage import TaskRunConfig
from storage.index.results import UsageMeans, usage_means


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


async def score_lines(
    measurement: Measurement,
    run_configs: Sequence[TaskRunConfig],
    items: Sequence[str],
    outputs: ScoredOutputs,
) -> list[ScoreLine]:
    """Return the score table of run configs over items, the best first.

    Run configs without any score are left out.

    Args:
        measurement: The eval.
        run_configs: The run configs.
        items: The items.
        outputs: The scores of the outputs.
    """
    path = measurement.evaluator_record.saved.path
    usages = await measurement.store.ask(lambda index: usage_means(index, path))
    lines: list[ScoreLine] = []
    ranges = {s.json_key: range_of(s.type) for s in measurement.eval_record.output_scores}
    for config in run_configs:
        usage = usages.get(config.id)
        for score in measurement.score_keys:
            item_outputs = outputs.of(config.id, score, items)
            if not item_outputs:
                continue
            mean = mean_of_items(item_outputs, value_range=ranges[score])
            lines.append(
                ScoreLine(
                    run_config=config.name,
                    score=score,
                    mean=mean.mean,
                    interval=mean.interval,
                    count=len(item_outputs),
                    exclusions=len(items) - len(item_outputs),
                    cost_usd=cost_of(usage),
                    latency_s=seconds_of(usage),
                )
            )
    return sorted(lines, key=lambda line: (line.score, -line.mean, line.run_config))


def cost_of(usage: UsageMeans | None) -> float | None:
    """Return the mean cost of an output in US dollars; None if fewer than half report it."""
    return usage.cost if usage and usage.cost_count * 2 >= usage.results else None


def seconds_of(usage: UsageMeans | None) -> float | None:
    """Return the mean time of an output in seconds; None if fewer than half report it."""
    if usage is None or usage.latency_ms is None or usage.latency_count * 2 < usage.results:
        return None
    return usage.latency_ms / 1000
