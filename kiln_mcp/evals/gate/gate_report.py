"""The gate over several evals, and its report."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from kiln_mcp.evals.errors import NothingToEvaluate
from kiln_mcp.evals.eval_reports import score_keys
from kiln_mcp.evals.gate.checks import CheckOutcome, GateCheck, outcome_of
from kiln_mcp.evals.gate.eval_gate import (
    COMPLETENESS,
    GatedConfig,
    claim_of,
    gate_checks,
    read_gated_config,
)
from kiln_mcp.evals.gate.rules import GateRules
from kiln_mcp.evals.lookups import TaskEval, all_evals, find_eval, load_measurement
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.results.part_uses import UseNumber, count_use
from kiln_mcp.statistics.claim_levels import ALL_CLAIMS
from storage import EvalConfig, ProjectStore, TaskRunConfig
from storage.errors import InvalidValue, RecordNotFound
from storage.records.handles import choose
from storage.text.excerpts import excerpts

_MOST_NAMES: Final = 8
_RULE: Final = "a rule checks a score"
"""The name of the check that a gate has a rule at all."""
_RESTING: Final = frozenset({"deprecated", "archived", "future"})
"""States of evals that are not asked unless they are named."""


@dataclass(frozen=True, slots=True)
class GateRequest:
    """What is to be gated.

    Attributes:
        evals: Names, ids or handles of evals; empty for all that are active.
        run_config: The run config; None for the task's default, or the only one with results.
        evaluator: The evaluator of each eval; None for the current one.
        rules: What must be fulfilled.
    """

    evals: Sequence[str] = ()
    run_config: str | None = None
    evaluator: str | None = None
    rules: GateRules = field(default_factory=GateRules)


@dataclass(frozen=True, slots=True)
class GateReport:
    """What a gate says.

    Attributes:
        project: The project's name.
        run_configs: The names of the run configs that were checked.
        checks: All checks, by eval.
        at: When.
        notes: What to know of the numbers.
    """

    project: str
    run_configs: Sequence[str]
    checks: Sequence[GateCheck]
    at: datetime
    notes: Sequence[str] = ()

    @property
    def outcome(self) -> CheckOutcome:
        """Return the outcome of the gate."""
        return outcome_of(self.checks)

    @property
    def summary(self) -> str:
        """Return the outcome in a sentence."""
        counts = {o: sum(check.outcome is o for check in self.checks) for o in CheckOutcome}
        names = ", ".join(self.run_configs)
        total = f"{len(self.checks)} checks of {names}"
        match self.outcome:
            case CheckOutcome.PASS:
                return f"The gate passes: all {total}."
            case CheckOutcome.FAIL:
                return f"The gate fails: {counts[CheckOutcome.FAIL]} of {total}."
            case CheckOutcome.CANNOT_TELL:
                count = counts[CheckOutcome.CANNOT_TELL]
                return f"The gate cannot tell: {count} of {total} are open, and none fails."


async def open_gate(store: ProjectStore, request: GateRequest) -> list[GatedConfig]:
    """Find what is to be checked in each eval.

    Where no eval is named, those are left out whose task has no run config of the name.

    Raises:
        NothingToEvaluate: There is no eval, no evaluator or no run config.
        RecordNotFound: There is no record of a name.
        InvalidValue: A rule names a score or evaluator that no eval has.
    """
    task_evals = await _evals(store, request.evals)
    candidates: list[GatedConfig] = []
    names: set[str] = set()
    for task_eval in task_evals:
        measurement = await load_measurement(store, task_eval, request.evaluator)
        try:
            config = await _config(measurement, request.run_config)
        except RecordNotFound:
            if request.evals or (task_eval is task_evals[-1] and not candidates):
                raise
            continue
        candidates.append(await read_gated_config(measurement, config))
        evaluators = await store.children(task_eval.eval_record, EvalConfig)
        names |= {*score_keys(task_eval.eval_record), *(item.name for item in evaluators)}
    unknown = [n for n in (*request.rules.at_least, *request.rules.critical) if n not in names]
    if unknown:
        raise InvalidValue(
            "The evals have no score '{name}'. Choose among: {names}.",
            name=unknown[0],
            names=sorted(names),
        )
    for candidate in candidates:
        _check_thresholds(candidate, request.rules)
    return candidates


def _check_thresholds(candidate: GatedConfig, rules: GateRules) -> None:
    """Refuse thresholds that always pass or never do.

    Raises:
        InvalidValue: One lies outside its score's scale.
    """
    for key, threshold in rules.at_least.items():
        scale = candidate.range_of(key)
        if scale is not None and not scale.low <= threshold <= scale.high:
            raise InvalidValue(
                "The threshold {threshold} of '{key}' in '{name}' lies outside its scale, {low} to "
                "{high}. Give a number on the scale.",
                threshold=f"{threshold:g}",
                key=key,
                name=candidate.name,
                low=f"{scale.low:g}",
                high=f"{scale.high:g}",
            )


async def pass_gate(
    store: ProjectStore,
    candidates: Sequence[GatedConfig],
    rules: GateRules,
    *,
    checks_drift: bool = False,
) -> GateReport:
    """Make all checks of a gate; one without any rule cannot tell.

    Args:
        store: The project.
        candidates: The run config in each eval.
        rules: What must be fulfilled.
        checks_drift: Whether checks of drift follow, so that no rule is needed.
    """
    checks: list[GateCheck] = []
    notes: list[str] = []
    for candidate in candidates:
        claim = claim_of(candidate, rules)
        use = None
        if claim is not None:
            use = await count_use(store, candidate.measurement.eval_record, claim, store.person)
        checks += await gate_checks(candidate, rules, use.error if use else ALL_CLAIMS)
        notes += await _notes(candidate, use)
    names = list(dict.fromkeys(candidate.config.name for candidate in candidates))
    if not checks_drift and all(check.name == COMPLETENESS for check in checks):
        checks += [_check_without_rule(candidate, rules) for candidate in candidates]
    return GateReport(store.project.name, names, checks, datetime.now(UTC), notes)


def _check_without_rule(candidate: GatedConfig, rules: GateRules) -> GateCheck:
    """Return the open check of an eval whose scores no rule looks at."""
    names = excerpts(candidate.measurement.score_keys, limit=_MOST_NAMES)
    says = (
        f"No rule applies, so no score was checked. Give --at-least SCORE=NUMBER, --critical "
        f"NAME or --drift, pin a baseline with --pin, or tag items {rules.must_pass!r}. "
        f"Its scores are: {names}."
    )
    return GateCheck(candidate.name, _RULE, CheckOutcome.CANNOT_TELL, says)


async def _notes(candidate: GatedConfig, use: UseNumber | None) -> list[str]:
    """Return what to know of an eval's numbers: an unmeasured judge, the use of the test part."""
    measurement = candidate.measurement
    notes: list[str] = []
    if measurement.evaluator.model and not await measurement.has_agreement():
        notes.append(
            f"{candidate.name}: its judge was never compared with people's labels, so its scores "
            "may mean nothing."
        )
    if use is not None:
        fresh = " Later claims need clearer results, or fresh items." if use.number > 1 else ""
        notes.append(f"{candidate.name}: {use.says}{fresh}")
        notes += [use.problem] if use.problem else []
    return notes


async def _evals(store: ProjectStore, names: Sequence[str]) -> list[TaskEval]:
    if names:
        return [await find_eval(store, name) for name in names]
    evals = [e for e in await all_evals(store) if e.eval_record.status not in _RESTING]
    with_evaluator = [e for e in evals if (await store.counts(e.eval_record)).get("eval_config", 0)]
    if not with_evaluator:
        raise NothingToEvaluate("The project has no eval with an evaluator, so nothing is gated.")
    return with_evaluator


async def _config(measurement: Measurement, name: str | None) -> TaskRunConfig:
    """Return the run config that is meant.

    Raises:
        NothingToEvaluate: None is named, and it is not clear which one is meant.
        RecordNotFound: There is none of this name.
    """
    task = measurement.task
    configs = await measurement.store.children(task, TaskRunConfig)
    reference = name or task.default_run_config_id
    if reference:
        return choose(TaskRunConfig, configs, reference)
    judged_ids = await measurement.judged_run_configs()
    with_results = [config for config in configs if config.id in judged_ids]
    if len(with_results) == 1:
        return with_results[0]
    names = excerpts([config.name for config in with_results], limit=_MOST_NAMES) or "none"
    raise NothingToEvaluate(
        f"It is not clear which run config of {task.name!r} is gated: it has no default one, and "
        f"these have results: {names}. Name one with --run-config."
    )
