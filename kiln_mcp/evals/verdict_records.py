"""What a run of an eval keeps: the results of its verdicts, and a log beside the evaluator."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from kiln_mcp.evals.eval_items import Item
from kiln_mcp.evals.measurement import Measurement, VerdictPlan, VerdictRequest
from kiln_mcp.evals.run_outcomes import RunOutcome
from kiln_mcp.evaluators.evaluator import Evaluation, Skipped
from kiln_mcp.run_configs.task_runs import stored_usage
from storage import EvalRun, TaskRun
from storage.records.evaluation import OUTPUT_KEY, SAMPLE_KEY, VERDICT_KEY

RUN_LOG: Final = "kiln_mcp_runs.jsonl"


@dataclass(frozen=True, slots=True)
class NewVerdict:
    """A verdict that is not saved yet."""

    request: VerdictRequest
    item: Item
    output: TaskRun
    value: Evaluation | Skipped
    number: int = 0

    @property
    def texts(self) -> dict[str, str]:
        """The evaluator's words, and which verdict it is of which output."""
        texts = self.value.texts if isinstance(self.value, Evaluation) else {}
        if self.request.sample:
            texts[SAMPLE_KEY] = str(self.request.sample)
        if self.number:
            texts[VERDICT_KEY] = str(self.number)
        if self.request.run_config is None:
            texts[OUTPUT_KEY] = self.output.fingerprint
        return texts

    @property
    def is_unread(self) -> bool:
        """Whether the evaluator found no value in the output."""
        return isinstance(self.value, Evaluation) and self.value.is_unread


def result_of(measurement: Measurement, verdict: NewVerdict) -> EvalRun:
    """Return the record of a verdict."""
    request, item, output = verdict.request, verdict.item, verdict.output
    skipped = verdict.value if isinstance(verdict.value, Skipped) else None
    evaluation = None if isinstance(verdict.value, Skipped) else verdict.value
    by_input = item.kind == "eval_input"
    older = measurement.evaluator_record.config_type != "v2"
    usage = evaluation.usage if evaluation else None
    return EvalRun(
        dataset_id=None if by_input else item.id,
        eval_input_id=item.id if by_input else None,
        task_run_config_id=request.run_config.id if request.run_config else None,
        eval_config_eval=request.run_config is None,
        # Older judges' results hold copies; newer ones point at the run, and must not hold any.
        scored_run_id=None if older else output.id,
        input=item.task_input if older else None,
        output=output.output.output if older else None,
        task_run_usage=output.usage if older else None,
        intermediate_outputs=verdict.texts or None,
        scores=evaluation.values if evaluation else {},
        eval_usage=stored_usage(usage, evaluation.latency_s) if evaluation and usage else None,
        skipped_reason=skipped.reason if skipped else None,
        skipped_detail=skipped.detail if skipped else None,
    )


async def write_run_log(work: VerdictPlan, outcome: RunOutcome) -> None:
    """Add a line about a run of an eval to the log beside its evaluator."""
    measurement = work.measurement
    resolved_configs = {
        request.run_config.id: request.resolved_config
        for request in work.requests
        if request.run_config and request.resolved_config
    }
    seeds = {resolved_config.seed for resolved_config in resolved_configs.values()}
    entry = {
        "v": 1,
        "at": datetime.now(UTC).isoformat(),
        "run_configs": {
            config: resolved_config.fingerprint
            for config, resolved_config in resolved_configs.items()
        },
        "stored_outputs": work.outputs,
        "seed": min(seeds, default=None),
        "judge_model": measurement.evaluator.model,
        "judge_clients": outcome.judge_clients,
        "outputs_an_item": work.repeats.outputs,
        "verdicts_an_output": work.repeats.verdicts,
        "scored": outcome.new_verdicts,
        "kept": outcome.existing,
        "generated": outcome.new_outputs,
        "skipped": outcome.skipped,
        "abstentions": outcome.abstentions,
        "failures": [
            {"item": f.item_id, "run_config": f.run_config, "reason": f.reason, "state": f.state}
            for f in outcome.failures
        ],
    }
    async with measurement.store.transaction(is_patient=True) as change:
        change.append_lines(
            measurement.evaluator_record, RUN_LOG, [json.dumps(entry, ensure_ascii=False)]
        )
