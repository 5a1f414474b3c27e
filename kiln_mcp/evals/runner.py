"""Run evals: get outputs for the items of a part, and an evaluator's verdicts on them.

What is there already is not made again: an item that has a verdict is passed over, and an output
that was made for another judge is judged as it is. What fails is reported by item and tried again
by the next run. Records are read a few at a time, shortly before they are used.
"""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import anyio

from kiln_mcp.evals.eval_items import Item, case_of, produce_output
from kiln_mcp.evals.measurement import (
    Measurement,
    VerdictPlan,
    VerdictRequest,
    remaining_requests_of,
)
from kiln_mcp.evals.record_writer import RecordWriter, record_writer
from kiln_mcp.evals.request_records import EarlierOutput, RequestRecords
from kiln_mcp.evals.run_outcomes import Failure, RunOutcome, Tally
from kiln_mcp.evals.trials_on_references import fault_on_references, is_fail
from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    Evaluator,
    Skipped,
)
from kiln_mcp.evaluators.registry import load_evaluator
from kiln_mcp.llm.errors import BadAnswer, ModelError
from kiln_mcp.llm.for_each import Width, for_each
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.task_runs import stored_usage, to_task_run
from kiln_mcp.workbench.workspace import FIRST_PAUSE_S, LONGEST_PAUSE_S, Workspace
from storage import EvalRun, TaskRun
from storage.records.evaluation import SAMPLE_KEY, VERDICT_KEY
from storage.records.run import COMPLETE

RUN_LOG: Final = "kiln_mcp_runs.jsonl"
CLAIMED_AT_ONCE: Final = 1024
FEWEST_UNREAD: Final = 3
"""Outputs in which an expression finds nothing before it is taken for wrong, if none is read."""


async def carry_out(workspace: Workspace, work: VerdictPlan) -> RunOutcome:
    """Make the outputs and verdicts, as many at once as the models' servers allow; save each.

    An item that fails does not stop the others. A log beside the evaluator records what was done,
    with fingerprints and seeds. Each item is claimed in the project first. Items that another
    process has claimed come last: its results are used, and what is missing is done here.
    """
    measurement = await ready(workspace, work.measurement)
    evaluator = measurement.evaluator
    context = _context(workspace, measurement)
    tally = Tally(work.steps, evaluator.model is not None, existing=work.existing)
    run = _Run(
        workspace=workspace,
        measurement=measurement,
        evaluator=evaluator,
        context=context,
        tally=tally,
        width=_width(workspace, work),
        fault=""
        if work.existing
        else await fault_on_references(measurement, context, work.requests),
    )
    waiting: Sequence[VerdictRequest] = work.requests
    pause_s = FIRST_PAUSE_S
    while waiting:
        foreign_requests: list[VerdictRequest] = []
        for begin in range(0, len(waiting), CLAIMED_AT_ONCE):
            chunk = waiting[begin : begin + CLAIMED_AT_ONCE]
            foreign_requests += await _carry_out_claimed(run, chunk)
        if len(foreign_requests) < len(waiting):
            pause_s = FIRST_PAUSE_S
        else:
            await workspace.report(
                tally.done, tally.total, tally.says_of_others(len(foreign_requests))
            )
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        waiting = foreign_requests
    outcome = tally.outcome()
    if outcome.has_verdict or outcome.failures:
        await _write_log(work, outcome)
    return outcome


def _context(workspace: Workspace, measurement: Measurement) -> EvaluationContext:
    purpose = f"evals/judge {measurement.evaluator_record.name}"
    return EvaluationContext(workspace.engine, measurement.eval_record, measurement.task, purpose)


def _width(workspace: Workspace, work: VerdictPlan) -> Width:
    return workspace.engine.width(model for model, calls in work.calls_by_model.items() if calls)


async def ready(workspace: Workspace, measurement: Measurement) -> Measurement:
    """Return an eval whose evaluator can be run: a code evaluator gets its code.

    Raises:
        Refusal: The evaluator is code, and the person has not trusted the folder.
        EvalError: The code cannot be read, or calls tools.
    """
    evaluator_record = await load_evaluator(
        workspace, measurement.store, measurement.evaluator_record
    )
    if evaluator_record is measurement.evaluator_record:
        return measurement
    return replace(measurement, evaluator_record=evaluator_record)


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of an eval in this process.

    Attributes:
        workspace: Asks models and reports progress.
        measurement: The eval.
        evaluator: Its evaluator, opened once.
        context: Where the evaluator works.
        tally: What is done.
        width: How many items at once.
        fault: Why the evaluator must be wrong if it fails every output; "" if nothing says so.
        held_verdicts: Fails that count only if the evaluator does not fail every output.
    """

    workspace: Workspace
    measurement: Measurement
    evaluator: Evaluator
    context: EvaluationContext
    tally: Tally
    width: Width
    fault: str = ""
    held_verdicts: list["_Verdict"] = field(default_factory=list["_Verdict"])

    def is_doubtful(self, verdict: "_Verdict") -> bool:
        """Return whether a verdict says more of the evaluator, if all are like it."""
        value = verdict.value
        if not isinstance(value, Evaluation):
            return False
        return value.is_unread or (bool(self.fault) and is_fail(value, self.context))

    async def report(self) -> None:
        """Report how far the run is."""
        await self.workspace.report(self.tally.done, self.tally.total, self.tally.says)


@dataclass(frozen=True, slots=True)
class _Verdict:
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
        return texts

    @property
    def is_unread(self) -> bool:
        """Whether the evaluator found no value in the output."""
        return isinstance(self.value, Evaluation) and self.value.is_unread


async def _carry_out_claimed(run: _Run, requests: Sequence[VerdictRequest]) -> list[VerdictRequest]:
    """Do the requests that nobody else is at; return the others."""
    measurement, tally = run.measurement, run.tally

    claim_keys = [
        key for request in requests for key in request.claims(measurement.evaluator_record)
    ]
    async with measurement.store.claims(claim_keys) as claims:
        is_own = [
            claims.issuperset(request.claims(measurement.evaluator_record)) for request in requests
        ]
        own = [request for request, is_claimed in zip(requests, is_own, strict=True) if is_claimed]
        if own:
            # Who had claimed them before may have done them since this was planned.
            remaining_requests = await remaining_requests_of(measurement, own)
            tally.take_results_of_others(own, remaining_requests)
            await _carry_out_all(run, remaining_requests)
    return [request for request, is_claimed in zip(requests, is_own, strict=True) if not is_claimed]


async def _carry_out_all(run: _Run, requests: Sequence[VerdictRequest]) -> None:
    store = run.measurement.store
    records = RequestRecords(store, requests, run.evaluator)
    async with record_writer(store, run.report) as writer:

        async def do(number: int) -> None:
            request = requests[number]
            try:
                await _do(run, request, await records.take(number), writer)
            except (ModelError, EvalError) as error:
                state = error.state if isinstance(error, BadAnswer) else None
                failure = Failure(request.item.id, request.config_name, str(error), state)
                run.tally.failures.append(failure)
                await run.report()
            await writer.wait_for_room()

        await for_each(range(len(requests)), do, run.width)
        _settle_held_verdicts(run, writer)


def _settle_held_verdicts(run: _Run, writer: RecordWriter) -> None:
    """Save the fails that were held, or report the evaluator if it found a value in no output."""
    verdicts, tally = tuple(run.held_verdicts), run.tally
    run.held_verdicts.clear()
    for verdict in verdicts:
        if tally.has_read_value or tally.existing or len(verdicts) < FEWEST_UNREAD:
            _save_verdict(run, verdict, writer)
        elif isinstance(verdict.value, Evaluation):
            if verdict.is_unread:
                reason = (
                    f"The evaluator finds no value in any of {len(verdicts)} outputs, so it gives "
                    "no score. Correct its value_expression."
                )
            else:
                reason = f"The evaluator fails all {len(verdicts)} outputs. {run.fault}"
            reason = f"{verdict.value.verdict} {reason}"
            tally.done += 1
            tally.failures.append(Failure(verdict.item.id, verdict.request.config_name, reason))


def _save_verdict(run: _Run, verdict: _Verdict, writer: RecordWriter) -> None:
    measurement = run.measurement
    record = _eval_run(measurement, verdict)
    writer.add(record, measurement.evaluator_record, partial(run.tally.take_verdict, verdict.value))


async def _do(
    run: _Run,
    request: VerdictRequest,
    records: tuple[Item, EarlierOutput | None],
    writer: RecordWriter,
) -> None:
    """Make one verdict, and its output if there is none; the writer saves them."""
    measurement, tally = run.measurement, run.tally
    item, earlier_output = records
    if earlier_output is not None:
        output, case = earlier_output.run, earlier_output.case
        if request.run_config is None and output.answer_state != COMPLETE:
            tally.take_unusable(item.id, output.answer_state)
            return
    else:
        output, hidden_tokens = await _generate(run, request, item)
        writer.add(output, measurement.task, partial(tally.take_output, hidden_tokens))
        case = case_of(item, output)
    tally.note_output(case)
    for number in request.verdicts:
        # Where the judge asks no model, an output that is paid for gets its verdict in any case.
        asks_none = run.evaluator.model is None
        with anyio.CancelScope(shield=True) if asks_none else nullcontext():
            context = replace(run.context, verdict_number=number) if number else run.context
            value = await run.evaluator.evaluate(case, context)
            verdict = _Verdict(request, item, output, value, number)
            if not tally.has_read_value and run.is_doubtful(verdict):
                run.held_verdicts.append(verdict)
                continue
            tally.has_read_value |= isinstance(verdict.value, Evaluation)
            _save_verdict(run, verdict, writer)


async def _generate(run: _Run, request: VerdictRequest, item: Item) -> tuple[TaskRun, int]:
    """Return a new output, and the tokens that its model thought with."""
    if request.resolved_config is None or request.run_config is None:
        raise RuntimeError("a stored output is judged as it is")
    asker = f"evals/run {request.run_config.name}"
    resolved_config = request.resolved_config
    if request.sample:
        resolved_config = replace(resolved_config, sample=request.sample)
    production = await produce_output(run.workspace.engine, resolved_config, item, asker)
    output = to_task_run(
        production, item.task_input, request.run_config, resolved_config, item.source
    )
    return output, production.usage.hidden_tokens


def _eval_run(measurement: Measurement, verdict: _Verdict) -> EvalRun:
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


async def _write_log(work: VerdictPlan, outcome: RunOutcome) -> None:
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
