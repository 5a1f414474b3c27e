"""The scores of several run configs on the items of a part, and the one they are compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.datasets.parts import MeasuredPart
from kiln_mcp.evals.baselines import read_baseline
from kiln_mcp.evals.errors import not_compared
from kiln_mcp.evals.eval_reports import items_of_part
from kiln_mcp.evals.lookups import find_run_configs
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.results.config_comparison import ComparedScore, ScaledScores, compare_score
from kiln_mcp.evals.results.part_uses import PartClaim
from kiln_mcp.evals.scored_outputs import read_scored_outputs
from storage import TaskRunConfig
from storage.errors import NextStep, Refusal
from storage.records.ratings import RATING_RANGES

ALL: Final = "all"
"""What stands for every run config that has results."""
_FEWEST: Final = 2


@dataclass(frozen=True, slots=True)
class ConfigScores:
    """The scores of run configs on the items of one part of an eval.

    Attributes:
        measurement: The eval with its evaluator.
        configs: The run configs.
        baseline: The one among them that the others are compared with.
        items: The items of the part.
        keys: The scores that have values.
        by_score: By run config and score: the mean of each item's outputs.
        missing: The names of run configs that were asked for and share no item with the baseline.
        empty: The scores that had nothing to compare.
    """

    measurement: Measurement
    configs: Sequence[TaskRunConfig]
    baseline: TaskRunConfig
    items: Sequence[str]
    keys: Sequence[str]
    by_score: Mapping[tuple[str, str], Mapping[str, float]]
    missing: Sequence[str] = ()
    empty: Sequence[str] = ()

    @property
    def exclusions(self) -> int:
        """Return how many items at most lack a score of some run config that others have."""
        return max(
            len(set[str]().union(*columns)) - len(set(columns[0]).intersection(*columns[1:]))
            for columns in map(self._columns, self.keys)
        )

    @property
    def claim(self) -> PartClaim:
        """Return the claim that a comparison makes on the items."""
        return PartClaim(
            evaluator=self.measurement.evaluator_record.id,
            run_configs=[config.id for config in self.configs],
            baseline=self.baseline.id,
            scores=self.by_score,
            items=self.items,
        )

    def compare(self, error: float, floor: float) -> list[ComparedScore]:
        """Compare the run configs in every score; all intervals hold together. Blocks.

        Args:
            error: That any interval of a family, in any score, is wrong.
            floor: The points of a hundred that a score may lose.
        """
        place = next(n for n, config in enumerate(self.configs) if config.id == self.baseline.id)
        level = 1 - error / len(self.keys)
        return [
            compare_score(
                ScaledScores(key, self._columns(key), self._ends(key)), place, level, floor
            )
            for key in self.keys
        ]

    def _columns(self, key: str) -> list[Mapping[str, float]]:
        return [self.by_score[config.id, key] for config in self.configs]

    def _ends(self, key: str) -> tuple[float, float]:
        score = self.measurement.eval_record.score(key)
        return RATING_RANGES[score.type if score else "pass_fail"]

    def with_results(self) -> "ConfigScores":
        """Return this without the run configs that share no scored item with the baseline.

        Raises:
            Refusal: None does.
        """
        items: dict[str, set[str]] = {config.id: set() for config in self.configs}
        for (config_id, _), scores in self.by_score.items():
            items[config_id].update(scores)
        own = items[self.baseline.id]
        present = [config for config in self.configs if not own.isdisjoint(items[config.id])]
        if len(present) < _FEWEST:
            other = next(config for config in self.configs if config.id != self.baseline.id)
            raise not_compared(self.baseline.name, other.name, len(own), len(items[other.id]))
        keys = [key for key in self.keys if any(self.by_score[c.id, key] for c in present)]
        absent = [config.name for config in self.configs if config not in present]
        return replace(self, configs=present, keys=keys, missing=absent)


async def read_config_scores(
    measurement: Measurement, names: Sequence[str], baseline_name: str | None, part: MeasuredPart
) -> ConfigScores:
    """Read the scores of run configs, those that have any.

    Args:
        measurement: The eval with its evaluator.
        names: Names, ids or handles of run configs; "all" alone for all that have results.
        baseline_name: The baseline; None for the pinned one, or else the first.
        part: The part of the items.

    Raises:
        Refusal: Fewer than two of them have results.
        RecordNotFound: There is no run config of a name.
    """
    configs = await _configs(measurement, names)
    baseline = await _baseline(measurement, configs, baseline_name, is_all=_is_all(names))
    if baseline is not None and all(config.id != baseline.id for config in configs):
        configs.insert(0, baseline)
    if baseline is None or len(configs) < _FEWEST:
        raise Refusal(
            "A comparison needs two run configs with results of '{name}'; there are {count}.",
            name=measurement.eval_record.name,
            count=len(configs),
            next=[NextStep(tool="run_eval", reason="score more run configs first")],
        )
    items = [item.id for item in await items_of_part(measurement, part)]
    of_part = frozenset(items)
    outputs = await read_scored_outputs(measurement, configs)
    keys = [key for key in measurement.score_keys if key not in outputs.empty]
    by_score = {
        (config.id, key): outputs.means(config.id, key, of_part)
        for config in configs
        for key in keys
    }
    scores = ConfigScores(
        measurement, configs, baseline, items, keys, by_score, empty=outputs.empty
    )
    return scores.with_results()


def _is_all(names: Sequence[str]) -> bool:
    return [name.strip().casefold() for name in names] == [ALL]


async def _configs(measurement: Measurement, names: Sequence[str]) -> list[TaskRunConfig]:
    """Return the run configs that are meant, each once."""
    if not _is_all(names):
        configs = await find_run_configs(measurement.store, measurement.task, names)
        return list({config.id: config for config in configs}.values())
    judged_ids = await measurement.judged_run_configs()
    configs = await find_run_configs(measurement.store, measurement.task, [])
    return [config for config in configs if config.id in judged_ids]


async def _baseline(
    measurement: Measurement, configs: Sequence[TaskRunConfig], name: str | None, *, is_all: bool
) -> TaskRunConfig | None:
    """Return the named one, else the pinned one, for all of them the task's default, or the first.

    A named one need not be among the others, and the pinned one not beside a single other one.
    """
    pinned_baseline = await read_baseline(measurement.store, measurement.eval_record)
    if name is None and pinned_baseline and len(configs) == 1:
        name = pinned_baseline.run_config
    if name is not None:
        [baseline] = await find_run_configs(measurement.store, measurement.task, [name])
        return baseline
    default = measurement.task.default_run_config_id if is_all else None
    ids = [pinned_baseline.run_config if pinned_baseline else None, default]
    by_id: dict[str | None, TaskRunConfig] = {config.id: config for config in configs}
    return next((by_id[id_] for id_ in ids if id_ in by_id), configs[0] if configs else None)
