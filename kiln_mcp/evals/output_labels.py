"""Correct the rate of a run config's outputs by labels that people gave on those very outputs.

Labels of other outputs say nothing of them: a judge that is right about one prompt may be wrong
about the next.
"""

from collections import defaultdict
from collections.abc import Container, Mapping
from dataclasses import dataclass
from statistics import fmean

from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.rate_correction import CorrectedRate, correct_rate
from kiln_mcp.evals.rates import ItemVerdicts, threshold_of
from storage import EvalOutputScore, TaskRunConfig
from storage.index.results import results

PASS_OR_FAIL = "pass_fail"
"""The type of the scores whose rate labels correct."""


@dataclass(frozen=True, slots=True)
class OutputVerdicts:
    """An evaluator's verdicts of the outputs of a run config.

    Attributes:
        verdicts: By the id of the run that holds the output, as labels name it. Results of before
            runs were kept have none; they stand under their item.
        items: The item of each output.
    """

    verdicts: ItemVerdicts
    items: Mapping[str, str]


async def output_verdicts(
    measurement: Measurement, config_id: str, score: EvalOutputScore, items: Container[str]
) -> OutputVerdicts:
    """Return an evaluator's verdicts of the outputs that a run config made of some items."""
    path, key = measurement.evaluator_record.saved.path, score.json_key
    rows = await measurement.store.ask(lambda index: results(index, path))
    values: dict[str, list[float]] = defaultdict(list)
    item_of: dict[str, str] = {}
    for row in rows:
        if row.run_config_id == config_id and row.item_id in items and key in row.scores:
            output = row.output_id or row.item_id
            values[output].append(row.scores[key])
            item_of[output] = row.item_id
    is_judged = measurement.evaluator.model is not None
    means = {output: fmean(own) for output, own in values.items()}
    threshold = threshold_of(score, is_judged=is_judged)
    return OutputVerdicts(ItemVerdicts(score, means, threshold), item_of)


async def correct_config_rate(
    measurement: Measurement,
    config: TaskRunConfig,
    score: EvalOutputScore,
    items: Container[str],
    error: float,
) -> CorrectedRate | None:
    """Return the rate of failures of a run config, as labels of its outputs correct it.

    Args:
        measurement: The eval with its evaluator.
        config: The run config.
        score: The score.
        items: The items whose outputs count.
        error: The probability that the interval is wrong.

    Returns:
        None for a check, a score that is not pass or fail, and outputs that nobody drew.
    """
    if measurement.evaluator.model is None or score.type != PASS_OR_FAIL:
        return None
    outputs = await output_verdicts(measurement, config.id, score, items)
    correction = await correct_rate(measurement, outputs.verdicts, error=error)
    return correction if correction.counts.drawn else None
