"""The gate of one eval: the checks of a run config's stored results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.evals.baselines import Baseline, read_baseline
from kiln_mcp.evals.comparison import range_of
from kiln_mcp.evals.eval_items import ItemReference
from kiln_mcp.evals.eval_reports import items_of_part
from kiln_mcp.evals.gate.checks import (
    CheckOutcome,
    GateCheck,
    GatedScore,
    check_items,
    check_loss,
    check_loss_of_rate,
    check_threshold,
)
from kiln_mcp.evals.gate.rules import GateRules
from kiln_mcp.evals.gate.tagged_items import TEST, tagged_items
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.output_labels import correct_config_rate
from kiln_mcp.evals.rates import threshold_of
from kiln_mcp.evals.repeat_summaries import JUDGED_PASS
from kiln_mcp.evals.results.config_comparison import ScaledScores
from kiln_mcp.evals.results.part_uses import PartClaim
from kiln_mcp.evals.scored_outputs import ScoredOutputs, read_scored_outputs
from kiln_mcp.evals.worst_items import look_at
from kiln_mcp.statistics import ValueRange
from kiln_mcp.statistics.claim_levels import ALL_CLAIMS
from storage import EvalConfig, TaskRunConfig
from storage.records.ratings import RATING_RANGES
from storage.text.excerpts import excerpts

_CRITICAL: Final = -1.0
"""The value of a failure that must never happen, on Kiln's scale for it."""
_MOST_REASONS: Final = 20
_MOST_ITEMS: Final = 5
COMPLETENESS: Final = "every item is scored"
"""The name of the check that results are there, whatever they say."""


@dataclass(frozen=True, slots=True)
class GatedConfig:
    """A run config before the gate of one eval.

    Attributes:
        measurement: The eval with its evaluator.
        config: The run config.
        items: The items of the test part.
        outputs: Its scores, and those of the baseline.
        baseline: The pinned baseline; None if there is none.
    """

    measurement: Measurement
    config: TaskRunConfig
    items: Sequence[ItemReference]
    outputs: ScoredOutputs
    baseline: Baseline | None

    @property
    def name(self) -> str:
        """Return the eval's name."""
        return self.measurement.eval_record.name

    @property
    def ids(self) -> list[str]:
        """Return the ids of the items."""
        return [item.id for item in self.items]

    def range_of(self, key: str) -> ValueRange | None:
        """Return the values that a score can have."""
        score = self.measurement.eval_record.score(key)
        return range_of(score.type) if score else None

    @property
    def keys(self) -> list[str]:
        """Return the scores that say something."""
        return [key for key in self.measurement.score_keys if key not in self.outputs.empty]

    @property
    def scored_items(self) -> frozenset[str]:
        """Return the items that have every score that says something."""
        return _items_with_score(self.measurement, self.config, self.outputs)


async def read_gated_config(measurement: Measurement, config: TaskRunConfig) -> GatedConfig:
    """Read what the gate of an eval needs to know of a run config."""
    store = measurement.store
    baseline = await read_baseline(store, measurement.eval_record)
    configs = [config]
    if baseline is not None and baseline.run_config != config.id:
        all_configs = await store.children(measurement.task, TaskRunConfig)
        configs += [other for other in all_configs if other.id == baseline.run_config]
    items = await items_of_part(measurement, TEST)
    outputs = await read_scored_outputs(measurement, configs)
    return GatedConfig(measurement, config, items, outputs, baseline)


async def gate_checks(
    candidate: GatedConfig, rules: GateRules, error: float = ALL_CLAIMS
) -> list[GateCheck]:
    """Return the checks of a run config by one eval; rules for others' scores do not count.

    Args:
        candidate: The run config in the eval.
        rules: What it must fulfil.
        error: The probability that the limits of a check are wrong.
    """
    checks = [await _completeness(candidate)]
    checks += [
        check_threshold(await _gated_score(candidate, key, error), rules.at_least[key], error)
        for key in candidate.measurement.score_keys
        if key in rules.at_least
    ]
    checks += _loss_checks(candidate, rules, error)
    checks += await _must_pass_checks(candidate, rules.must_pass)
    checks += await _critical_checks(candidate, rules.critical)
    return checks


def claim_of(candidate: GatedConfig, rules: GateRules) -> PartClaim | None:
    """Return the claim on the test part that rules make; None if they make none.

    Items that must pass, and failures that must never happen, are counted and claim nothing.
    """
    baseline = candidate.baseline
    pair = [candidate.config.id]
    if baseline is not None and baseline.run_config != candidate.config.id:
        pair.insert(0, baseline.run_config)
    if len(pair) == 1 and not rules.at_least.keys() & set(candidate.measurement.score_keys):
        return None
    if not candidate.scored_items.intersection(candidate.ids):
        return None
    of_part = frozenset(candidate.ids)
    return PartClaim(
        evaluator=candidate.measurement.evaluator_record.id,
        run_configs=pair,
        baseline=pair[0],
        scores={
            (config_id, key): candidate.outputs.means(config_id, key, of_part)
            for config_id in pair
            for key in candidate.keys
        },
        items=candidate.ids,
    )


async def _gated_score(candidate: GatedConfig, key: str, error: float) -> GatedScore:
    """Return a score of the test part, with what labels say of these outputs."""
    measurement, config = candidate.measurement, candidate.config
    score = measurement.eval_record.score(key)
    correction = None
    if score is not None:
        items = frozenset(candidate.ids)
        correction = await correct_config_rate(measurement, config, score, items, error)
    outputs = candidate.outputs.of(config.id, key, candidate.ids)
    return GatedScore(candidate.name, key, outputs, candidate.range_of(key), correction)


async def _completeness(candidate: GatedConfig) -> GateCheck:
    done = {item for item, _, _ in await candidate.measurement.judged_outputs(candidate.config.id)}
    missing = sum(item not in done for item in candidate.ids)
    if missing or not candidate.items:
        count = len(candidate.items)
        says = f"{missing} of {count} items have no result of {candidate.config.name!r}."
        return GateCheck(candidate.name, COMPLETENESS, CheckOutcome.CANNOT_TELL, says)
    if gaps := await _items_without_score(candidate):
        says = (
            f"{len(gaps)} of {len(candidate.items)} items have a result of "
            f"{candidate.config.name!r} that lacks a score, and nothing says that it was skipped: "
            f"{excerpts(sorted(gaps), limit=_MOST_ITEMS)}. Delete these results, then score "
            "the items again."
        )
        return GateCheck(candidate.name, COMPLETENESS, CheckOutcome.CANNOT_TELL, says)
    says = f"All {len(candidate.items)} items."
    if without_score := len(set(candidate.ids) - candidate.scored_items):
        says += f" {without_score} of them were skipped, and count in no score."
    return GateCheck(candidate.name, COMPLETENESS, CheckOutcome.PASS, says)


async def _items_without_score(candidate: GatedConfig) -> frozenset[str]:
    """Return the items of which a result was not skipped and yet lacks a score."""
    measurement, config_id = candidate.measurement, candidate.config.id
    due = await measurement.judged_outputs(config_id)
    due -= await measurement.skipped_outputs(config_id)
    gaps: set[str] = set()
    for key in candidate.keys:
        verdicts = await measurement.verdicts(config_id, key)
        gaps |= {item for item, _, _ in due - verdicts.keys()}
    return frozenset(gaps.intersection(candidate.ids))


def _loss_checks(candidate: GatedConfig, rules: GateRules, error: float) -> list[GateCheck]:
    baseline = candidate.baseline
    if baseline is None:
        if rules.most_loss is None:
            return []
        says = "No baseline is pinned: kiln-mcp gate --pin does it."
        name = f"no score loses more than {rules.loss:g} points"
        return [GateCheck(candidate.name, name, CheckOutcome.CANNOT_TELL, says)]
    if baseline.run_config == candidate.config.id:
        says = f"{candidate.config.name!r} is the pinned baseline itself."
        name = f"no score loses more than {rules.loss:g} points"
        return [GateCheck(candidate.name, name, CheckOutcome.PASS, says)]
    return [_loss_check(candidate, baseline, key, rules.loss, error) for key in candidate.keys]


def _loss_check(
    candidate: GatedConfig, baseline: Baseline, key: str, most_loss: float, error: float
) -> GateCheck:
    of_part = frozenset(candidate.ids)
    first = candidate.outputs.means(baseline.run_config, key, of_part)
    second = candidate.outputs.means(candidate.config.id, key, of_part)
    pinned_rate = baseline.rates.get(key)
    is_same_judge = baseline.evaluator == candidate.measurement.evaluator_record.id
    if not first and pinned_rate is not None and is_same_judge:
        names = candidate.name, key
        return check_loss_of_rate(names, list(second.values()), pinned_rate, most_loss, error)
    score = candidate.measurement.eval_record.score(key)
    ends = RATING_RANGES[score.type if score else "pass_fail"]
    scores = ScaledScores(key, [first, second], ends)
    return check_loss(candidate.name, scores, baseline.name, most_loss, error)


async def _must_pass_checks(candidate: GatedConfig, tag: str) -> list[GateCheck]:
    """Return a check for each item of the test part with the tag."""
    items = await tagged_items(candidate.measurement, candidate.items, tag)
    failures = await _failures(candidate.measurement, candidate.config, candidate.outputs, items)
    scored_items = _items_with_score(candidate.measurement, candidate.config, candidate.outputs)
    return [
        check_items(
            candidate.name,
            f"{tag} {item.id}",
            {item.id: failures[item.id]} if item.id in failures else {},
            1,
            item.id not in scored_items,
        )
        for item in items
    ]


async def _critical_checks(candidate: GatedConfig, names: Sequence[str]) -> list[GateCheck]:
    """Return the checks of which one failing item fails the gate."""
    measurement = candidate.measurement
    checks: list[GateCheck] = []
    kinds = {score.json_key: score.type for score in measurement.eval_record.output_scores}
    for key in candidate.keys:
        is_marked = key in names
        if not is_marked and kinds[key] != "pass_fail_critical":
            continue
        worst = _worst(candidate.outputs, candidate.config, key, candidate.ids)
        limit = _threshold(measurement, key) if is_marked else _CRITICAL + JUDGED_PASS
        failures = {item: f"{key} is {value:g}" for item, value in worst.items() if value < limit}
        name = f"{key} never fails" if is_marked else f"{key} is never critical"
        missing = len(candidate.ids) - len(worst) if is_marked else int(not worst)
        count = len(worst) + missing
        checks.append(check_items(candidate.name, name, failures, count, missing))
    evaluators = await measurement.store.children(measurement.eval_record, EvalConfig)
    checks += [
        await _critical_evaluator(candidate, record)
        for record in evaluators
        if record.name in names
    ]
    return checks


async def _critical_evaluator(candidate: GatedConfig, record: EvalConfig) -> GateCheck:
    critical = replace(candidate.measurement, evaluator_record=record)
    outputs = await read_scored_outputs(critical, [candidate.config])
    failures = await _failures(critical, candidate.config, outputs, candidate.items)
    scored_items = _items_with_score(critical, candidate.config, outputs)
    missing = sum(item not in scored_items for item in candidate.ids)
    name = f"{record.name} never fails"
    return check_items(candidate.name, name, failures, len(candidate.items), missing)


async def _failures(
    measurement: Measurement,
    config: TaskRunConfig,
    outputs: ScoredOutputs,
    items: Sequence[ItemReference],
) -> dict[str, str]:
    """Return the items of which any output fails in any score, with the judge's reasons."""
    ids = [item.id for item in items]
    failed: dict[str, str] = {}
    for key in measurement.score_keys:
        threshold = _threshold(measurement, key)
        failed |= {
            item: f"{key} is {value:g}"
            for item, value in _worst(outputs, config, key, ids).items()
            if value < threshold and item not in failed
        }
    if failed:
        references = [item for item in items if item.id in failed]
        names = {config.id: config.name}
        page = await look_at(measurement, names, references, failures=True, limit=_MOST_REASONS)
        failed |= {
            view.item: f"{failed[view.item]} for the input {view.input!r}"
            + (f": {view.why}" if view.why else "")
            for view in page.items
        }
    return failed


def _threshold(measurement: Measurement, key: str) -> float:
    """Return the value of a score from which on an output passes."""
    score = measurement.eval_record.score(key)
    is_judged = measurement.evaluator.model is not None
    return threshold_of(score, is_judged=is_judged) if score else JUDGED_PASS


def _worst(
    outputs: ScoredOutputs, config: TaskRunConfig, key: str, ids: Sequence[str]
) -> Mapping[str, float]:
    """Return the worst verdict of each item that has one."""
    by_item = outputs.by_score.get((config.id, key), {})
    return {
        item: min(value for verdicts in by_item[item] for value in verdicts)
        for item in ids
        if item in by_item
    }


def _items_with_score(
    measurement: Measurement, config: TaskRunConfig, outputs: ScoredOutputs
) -> frozenset[str]:
    """Return the items that have every score that says something."""
    keys = [key for key in measurement.score_keys if key not in outputs.empty]
    columns = [outputs.by_score.get((config.id, key), {}) for key in keys]
    items = {item for column in columns for item in column}
    return frozenset(item for item in items if all(item in column for column in columns))
