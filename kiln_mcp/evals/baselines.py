"""The pinned baseline of an eval: the run config that new ones must not be worse than.

It lies in the project, so git carries it. The newest line counts.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from kiln_mcp.evals.answers import ends
from kiln_mcp.evals.comparison import mean_of_items, range_of
from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.line_files import Line, append, read_lines
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.scored_outputs import read_scored_outputs
from storage import Eval, ProjectStore, TaskRunConfig
from storage.errors import NextStep

BASELINES: Final = "kiln_mcp_baselines.jsonl"


class PinnedRate(BaseModel):
    """A score of the baseline when it was pinned; low and high are the ends of its interval."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    mean: float
    low: float | None = None
    high: float | None = None
    n: int


class Baseline(Line):
    """A pinned baseline.

    Attributes:
        run_config: The run config's id.
        name: Its name then.
        evaluator: The id of the evaluator that gave the scores.
        rates: Its scores then, by key.
    """

    run_config: str
    name: str
    evaluator: str
    rates: Mapping[str, PinnedRate] = {}


async def read_baseline(store: ProjectStore, eval_record: Eval) -> Baseline | None:
    """Return the pinned baseline of an eval; None if there is none."""
    lines = await read_lines(store, eval_record, BASELINES, Baseline)
    return lines[-1] if lines else None


async def pin_baseline(
    measurement: Measurement, config: TaskRunConfig, items: Sequence[str], by: str
) -> Baseline:
    """Pin a run config as the baseline of an eval.

    Args:
        measurement: The eval with the evaluator whose scores count.
        config: The run config.
        items: The items of the test part.
        by: Who pins it.

    Raises:
        NothingToEvaluate: It has no score on these items.
    """
    outputs = await read_scored_outputs(measurement, [config])
    rates: dict[str, PinnedRate] = {}
    for score in measurement.eval_record.output_scores:
        key = score.json_key
        item_outputs = outputs.of(config.id, key, items)
        if item_outputs:
            mean = mean_of_items(item_outputs, value_range=range_of(score.type))
            low, high = ends(mean.interval)
            rates[key] = PinnedRate(mean=round(mean.mean, 4), low=low, high=high, n=mean.count)
    if not rates:
        raise NothingToEvaluate(
            f"{config.name!r} has no result of {measurement.eval_record.name!r} to pin.",
            next=[NextStep(tool="run_eval", reason="score it first")],
        )
    baseline = Baseline(
        by=by,
        run_config=config.id,
        name=config.name,
        evaluator=measurement.evaluator_record.id,
        rates=rates,
    )
    async with measurement.store.transaction() as change:
        append(change, measurement.eval_record, BASELINES, [baseline])
    return baseline
