"""How often outputs fail: the share of failures of each score, with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kiln_mcp.evals.comparison import MeanScore, mean_score, range_of
from kiln_mcp.evals.item_scores import is_empty_score, mean_of, outputs_by_item
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.repeat_summaries import JUDGED_PASS
from kiln_mcp.statistics import CannotTell, Interval, wilson_interval
from storage import EvalOutputScore
from storage.index.results import STORED

FEWEST_STARS: Final = 3.0
"""Stars from which on an output passes."""
CRITICAL: Final = -0.5
"""The value of a score below which a failure is critical."""


@dataclass(frozen=True, slots=True)
class ItemVerdicts:
    """What an evaluator says of stored outputs in one score.

    Attributes:
        score: The score.
        values: The mean of its verdicts, by item.
        threshold: The value from which on an output passes.
    """

    score: EvalOutputScore
    values: Mapping[str, float]
    threshold: float

    @property
    def key(self) -> str:
        """The score's key."""
        return self.score.json_key

    def fails(self, item: str) -> bool:
        """Return whether the output of an item fails."""
        return self.values[item] < self.threshold

    def among(self, items: Sequence[str]) -> "ItemVerdicts":
        """Return the verdicts of these items alone."""
        values = {item: self.values[item] for item in items if item in self.values}
        return ItemVerdicts(self.score, values, self.threshold)


@dataclass(frozen=True, slots=True)
class FailureRate:
    """The share of outputs that fail, as an evaluator says.

    Attributes:
        failures: Outputs that fail.
        count: Outputs with a verdict.
        interval: The 95 % interval of the share, as of a random sample of outputs.
    """

    failures: int
    count: int
    interval: Interval

    @property
    def share(self) -> float:
        """The share of failures."""
        return self.failures / self.count


def failure_rate(verdicts: ItemVerdicts) -> FailureRate | CannotTell:
    """Return how often outputs fail; Wilson's interval (Wilson 1927)."""
    count = len(verdicts.values)
    if not count:
        return CannotTell("no output has a score")
    failures = sum(map(verdicts.fails, verdicts.values))
    return FailureRate(failures, count, wilson_interval(failures, count))


def mean_of_scores(verdicts: ItemVerdicts) -> MeanScore | None:
    """Return the mean of a score that is more than pass or fail; None for the others."""
    if verdicts.score.type == "pass_fail" or not verdicts.values:
        return None
    values = list(verdicts.values.values())
    return mean_score(values, value_range=range_of(verdicts.score.type))


def count_critical(verdicts: ItemVerdicts) -> int | None:
    """Return how many outputs fail critically; None for scores without that value."""
    if verdicts.score.type != "pass_fail_critical":
        return None
    return sum(value < CRITICAL for value in verdicts.values.values())


def threshold_of(score: EvalOutputScore, *, is_judged: bool) -> float:
    """Return the value of a score from which on an output passes.

    A judge's verdict may lie between fail and pass, as a mean or weighted. A check's may not.
    """
    if score.type == "five_star":
        return FEWEST_STARS
    return JUDGED_PASS if is_judged else 1.0


async def read_verdicts(
    measurement: Measurement, score: EvalOutputScore, run_config_id: str = STORED
) -> ItemVerdicts:
    """Return what an evaluator says of stored outputs, or of a run config's, in one score.

    A score that never had anything to compare has no values.
    """
    verdicts = await measurement.verdicts(run_config_id, score.json_key)
    is_judged = measurement.evaluator.model is not None
    threshold = threshold_of(score, is_judged=is_judged)
    if is_empty_score(verdicts):
        return ItemVerdicts(score, {}, threshold)
    if all(key.sample == key.verdict == 0 for key in verdicts):
        values = {key.item_id: verdict.value for key, verdict in verdicts.items()}
    else:
        values = {item: mean_of(outputs) for item, outputs in outputs_by_item(verdicts).items()}
    return ItemVerdicts(score, values, threshold)
