"""The scores of run configs' outputs, read from the index once for all that is reported of them."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from kiln_mcp.evals.item_scores import Outputs, is_empty_score, mean_of, outputs_by_item
from kiln_mcp.evals.measurement import Measurement
from storage import TaskRunConfig


@dataclass(frozen=True, slots=True)
class ScoredOutputs:
    """The outputs of each item with their verdicts, by run config and score.

    Attributes:
        by_score: By the run config's id and the score's key.
        empty: The scores that had nothing to compare in any output of one of the run configs.
    """

    by_score: Mapping[tuple[str, str], Mapping[str, Outputs]]
    empty: Sequence[str] = ()

    def of(self, config_id: str, key: str, items: Sequence[str]) -> list[Outputs]:
        """Return the outputs of those items that have any, in their order."""
        by_item = self.by_score.get((config_id, key), {})
        return [by_item[item] for item in items if item in by_item]

    def means(self, config_id: str, key: str, items: Container[str]) -> dict[str, float]:
        """Return the mean score of each of those items."""
        by_item = self.by_score.get((config_id, key), {})
        return {item: mean_of(outputs) for item, outputs in by_item.items() if item in items}


async def read_scored_outputs(
    measurement: Measurement, run_configs: Sequence[TaskRunConfig]
) -> ScoredOutputs:
    """Read the scores of run configs."""
    by_score: dict[tuple[str, str], Mapping[str, Outputs]] = {}
    empty: dict[str, None] = {}
    for config in run_configs:
        for key in measurement.score_keys:
            verdicts = await measurement.verdicts(config.id, key)
            by_score[config.id, key] = outputs_by_item(verdicts)
            if is_empty_score(verdicts):
                empty[key] = None
    return ScoredOutputs(by_score, tuple(empty))
