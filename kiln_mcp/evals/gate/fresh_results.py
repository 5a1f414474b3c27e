"""Make the results that a gate lacks: missing ones, and new ones of anchor items for drift."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from kiln_mcp.evals.eval_items import ItemReference
from kiln_mcp.evals.gate.eval_gate import GatedConfig
from kiln_mcp.evals.measurement import (
    VerdictPlan,
    VerdictRequest,
    plan_run,
    read_prompt_sources,
)
from kiln_mcp.evals.runner import carry_out, ready
from kiln_mcp.run_configs.task_runs import resolve
from kiln_mcp.workbench.workspace import Workspace
from storage import TaskRunConfig
from storage.index.verdict_times import TimedVerdict, timed_verdicts

_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class FreshResults:
    """The results that are to be made for a gate.

    Attributes:
        plans: What to do, one plan for each eval and purpose.
    """

    plans: Sequence[VerdictPlan]

    @property
    def calls_by_model(self) -> dict[str, int]:
        """Return how often each model will be asked."""
        calls: dict[str, int] = {}
        for plan in self.plans:
            for model, count in plan.calls_by_model.items():
                calls[model] = calls.get(model, 0) + count
        return calls

    @property
    def summary(self) -> str:
        """Return what will be done, for its plan."""
        verdicts = sum(plan.verdicts for plan in self.plans)
        outputs = sum(plan.generations for plan in self.plans)
        return f"Make {outputs} outputs and {verdicts} verdicts for the gate."


async def plan_missing(
    workspace: Workspace, candidates: Sequence[GatedConfig]
) -> list[VerdictPlan]:
    """Return the results that run configs and their baselines lack.

    Raises:
        Refusal: A run config does not run here.
    """
    plans: list[VerdictPlan] = []
    for candidate in candidates:
        measurement = await ready(workspace, candidate.measurement)
        configs = [candidate.config]
        if candidate.baseline is not None and candidate.baseline.run_config != candidate.config.id:
            all_configs = await measurement.store.children(measurement.task, TaskRunConfig)
            configs += [other for other in all_configs if other.id == candidate.baseline.run_config]
        plan = await plan_run(measurement, configs, candidate.items)
        if plan.requests:
            plans.append(plan)
    return plans


async def plan_anchors(
    workspace: Workspace, candidate: GatedConfig, anchors: Sequence[ItemReference], since: datetime
) -> VerdictPlan:
    """Return what tells drift apart: old outputs judged again, and a new output of each item.

    What was made since that day already is not made again.

    Args:
        workspace: Loads the evaluator's code.
        candidate: The run config in an eval.
        anchors: The anchor items.
        since: What was scored before is old.
    """
    measurement = await ready(workspace, candidate.measurement)
    path, key = measurement.evaluator_record.saved.path, measurement.score_keys[0]
    rows = await measurement.store.ask(
        lambda index: timed_verdicts(index, path, candidate.config.id, key)
    )
    since_us = int(since.timestamp() * _MICROSECONDS)
    outputs = await measurement.outputs(candidate.config.id)
    sources = await read_prompt_sources(measurement, [candidate.config])
    resolved_config = resolve(
        measurement.task, candidate.config, sources.prompts, sources.examples, seed=0
    )
    has_judge = measurement.evaluator.model is not None
    requests: list[VerdictRequest] = []
    for item in anchors:
        own = [row for row in rows if row.item_id == item.id]
        draft = VerdictRequest(item, candidate.config, resolved_config, None)
        requests += _requests(draft, own, since_us, has_judge=has_judge)
    requests = [replace(request, output=outputs.get(request.output_key)) for request in requests]
    return VerdictPlan(measurement, tuple(requests), len(anchors))


def _requests(
    draft: VerdictRequest, rows: Sequence[TimedVerdict], since_us: int, *, has_judge: bool
) -> list[VerdictRequest]:
    """Return a new verdict of an item's first old output, and one of a new output."""
    old = [row for row in rows if row.at_us < since_us]
    if not old:
        return []
    requests: list[VerdictRequest] = []
    sample = old[0].sample
    of_output = [row for row in rows if row.sample == sample]
    # A number that was not asked for before: the response cache holds what the judge said then,
    # and a new output may have the text of an old one.
    number = 1 + max(row.verdict for row in old) if has_judge else 0
    if has_judge and all(row.at_us < since_us for row in of_output):
        requests.append(replace(draft, sample=sample, verdicts=(number,)))
    old_samples = {row.sample for row in old}
    if not any(row.sample not in old_samples for row in rows):
        requests.append(replace(draft, sample=1 + max(old_samples), verdicts=(number,)))
    return requests


async def make_results(workspace: Workspace, results: FreshResults) -> list[str]:
    """Make results that were agreed to; return a sentence for each kind of failure."""
    failures: list[str] = []
    for plan in results.plans:
        outcome = await carry_out(workspace, plan)
        failures += [failure.reason for failure in outcome.failures]
    return list(dict.fromkeys(failures))
