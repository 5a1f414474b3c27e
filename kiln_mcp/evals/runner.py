"""Run evals: get outputs for the items of a part, and the verdicts of evaluators on them.

What is there already is not made again: an item that has a verdict is passed over, and an output
that was made for another judge is judged as it is. Several evaluators share an output: it is made
once, and what fails for one of them costs the others nothing. What fails is reported by item and
tried again by the next run. Records are read a few at a time, shortly before they are used.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import anyio

from kiln_mcp.evals.eval_items import Item, case_of, produce_output
from kiln_mcp.evals.known_verdicts import VerdictFinder, Verdicts
from kiln_mcp.evals.measurement import (
    Measurement,
    VerdictPlan,
    VerdictRequest,
    remaining_requests_of,
)
from kiln_mcp.evals.output_work import OutputWork, calls_of, group_by_output, requests_of
from kiln_mcp.evals.record_writer import RecordWriter, record_writer
from kiln_mcp.evals.request_records import EarlierOutput, RequestRecords
from kiln_mcp.evals.run_outcomes import Failure, RunOutcome, Tally
from kiln_mcp.evals.trials_on_references import fault_on_references, is_fail
from kiln_mcp.evals.verdict_records import NewVerdict, result_of, write_run_log
from kiln_mcp.evaluators.evaluator import (
    Evaluation,
    EvaluationContext,
    Evaluator,
)
from kiln_mcp.evaluators.registry import load_evaluator
from kiln_mcp.llm.errors import BadAnswer, ModelError
from kiln_mcp.llm.for_each import Width, for_each
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.item_templates import Case
from kiln_mcp.run_configs.task_runs import to_task_run
from kiln_mcp.workbench.workspace import FIRST_PAUSE_S, LONGEST_PAUSE_S, Workspace
from storage import ProjectStore, TaskRun
from storage.records.run import COMPLETE

CLAIMED_AT_ONCE: Final = 1024
FEWEST_UNREAD: Final = 3
"""Outputs in which an expression finds nothing before it is taken for wrong, if none is read."""


async def carry_out(workspace: Workspace, work: VerdictPlan) -> RunOutcome:
    """Make the outputs and verdicts of one evaluator; `carry_out_together` says how."""
    return (await carry_out_together(workspace, [work]))[0]


async def carry_out_together(
    workspace: Workspace, plans: Sequence[VerdictPlan]
) -> list[RunOutcome]:
    """Make the outputs and verdicts, as many at once as the models' servers allow; save each.

    An item that fails does not stop the others, nor does an evaluator. A log beside each evaluator
    records what was done, with fingerprints and seeds. Each item is claimed in the project first.
    Items that another process has claimed come last: its results are used, and what is missing is
    done here.

    Args:
        workspace: Asks models and reports progress.
        plans: The work of each evaluator, on outputs of one task.

    Returns:
        What was done of each plan.
    """
    parts = [await _open_part(workspace, plan) for plan in plans]
    calls = calls_of(plans)
    width = workspace.engine.width(model for model, count in calls.items() if count)
    run = _Run(workspace, plans[0].measurement.store, parts, width)
    waiting = group_by_output({n: plan.requests for n, plan in enumerate(plans)})
    pause_s = FIRST_PAUSE_S
    while waiting:
        foreign_work: list[OutputWork] = []
        for begin in range(0, len(waiting), CLAIMED_AT_ONCE):
            chunk = waiting[begin : begin + CLAIMED_AT_ONCE]
            foreign_work += await _carry_out_claimed(run, chunk)
        if len(foreign_work) < len(waiting):
            pause_s = FIRST_PAUSE_S
        else:
            await run.report(waiting_for=len(foreign_work))
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        waiting = foreign_work
    outcomes = [part.tally.outcome() for part in parts]
    for plan, outcome in zip(plans, outcomes, strict=True):
        if outcome.has_verdict or outcome.failures:
            await write_run_log(plan, outcome)
    return outcomes


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
class _Part:
    """What one evaluator does in a run.

    Attributes:
        measurement: The eval with the evaluator.
        evaluator: The evaluator, opened once.
        context: Where it works.
        tally: What is done.
        fault: Why the evaluator must be wrong if it fails every output; "" if nothing says so.
        held_verdicts: Fails that count only if the evaluator does not fail every output.
    """

    measurement: Measurement
    evaluator: Evaluator
    context: EvaluationContext
    tally: Tally
    fault: str = ""
    held_verdicts: list[NewVerdict] = field(default_factory=list[NewVerdict])

    def is_doubtful(self, verdict: NewVerdict) -> bool:
        """Return whether a verdict says more of the evaluator, if all are like it."""
        value = verdict.value
        if not isinstance(value, Evaluation):
            return False
        return value.is_unread or (bool(self.fault) and is_fail(value, self.context))

    def take_failure(self, request: VerdictRequest, error: ModelError | EvalError) -> None:
        """Count an item that has no score."""
        state = error.state if isinstance(error, BadAnswer) else None
        failure = Failure(request.item.id, request.config_name, str(error), state)
        self.tally.failures.append(failure)


async def _open_part(workspace: Workspace, plan: VerdictPlan) -> _Part:
    measurement = await ready(workspace, plan.measurement)
    evaluator = measurement.evaluator
    purpose = f"evals/judge {measurement.evaluator_record.name}"
    context = EvaluationContext(
        workspace.engine, measurement.eval_record, measurement.task, purpose
    )
    fault = "" if plan.existing else await fault_on_references(measurement, context, plan.requests)
    tally = Tally(plan.steps, evaluator.model is not None, existing=plan.existing)
    return _Part(measurement, evaluator, context, tally, fault)


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of an eval in this process.

    Attributes:
        workspace: Asks models and reports progress.
        store: The project.
        parts: What each evaluator does.
        width: How many items at once.
    """

    workspace: Workspace
    store: ProjectStore
    parts: Sequence[_Part]
    width: Width

    async def report(self, waiting_for: int = 0) -> None:
        """Report how far the run is, and for how many outputs of others it waits."""
        tallies = [part.tally for part in self.parts]
        tally = tallies[0] if len(tallies) == 1 else Tally.sum_of(tallies)
        says = tally.says_of_others(waiting_for) if waiting_for else tally.says
        await self.workspace.report(tally.done, tally.total, says)


async def _carry_out_claimed(run: _Run, work: Sequence[OutputWork]) -> list[OutputWork]:
    """Do the work that nobody else is at; return the rest."""
    records = [part.measurement.evaluator_record for part in run.parts]
    claim_keys = [key for output in work for key in output.claims(records)]
    async with run.store.claims(claim_keys) as claims:
        is_own = [claims.issuperset(output.claims(records)) for output in work]
        own = [output for output, is_claimed in zip(work, is_own, strict=True) if is_claimed]
        if own:
            await _carry_out_all(run, await _remaining(run, own))
    return [output for output, is_claimed in zip(work, is_own, strict=True) if not is_claimed]


async def _remaining(run: _Run, work: Sequence[OutputWork]) -> list[OutputWork]:
    """Return what others, who had claimed the work before, have not done since it was planned."""
    remaining: dict[int, list[VerdictRequest]] = {}
    for number, part in enumerate(run.parts):
        if requests := requests_of(work, number):
            remaining[number] = await remaining_requests_of(part.measurement, requests)
            part.tally.take_results_of_others(requests, remaining[number])
    return group_by_output(remaining)


async def _carry_out_all(run: _Run, work: Sequence[OutputWork]) -> None:
    evaluators = [part.evaluator for part in run.parts]
    finder = VerdictFinder(work, [(part.evaluator, part.context) for part in run.parts])
    async with record_writer(run.store, run.report) as writer:

        async def settle(outputs: Mapping[int, tuple[Item, EarlierOutput]]) -> Collection[int]:
            verdicts = await finder.find({n: output for n, (_, output) in outputs.items()})
            for number, values in verdicts.items():
                _take_all(run, work[number], outputs[number], values, writer)
            await writer.wait_for_room()
            return verdicts.keys()

        records = RequestRecords(run.store, work, evaluators, settle)

        async def do(number: int) -> None:
            output = work[number]
            try:
                if (pair := await records.take(number)) is not None:
                    await _do(run, output, pair, writer)
            except (ModelError, EvalError) as error:
                for key, request in output.requests.items():
                    run.parts[key].take_failure(request, error)
                await run.report()
            await writer.wait_for_room()

        await for_each(range(len(work)), do, run.width)
        for part in run.parts:
            _settle_held_verdicts(part, writer)


def _settle_held_verdicts(part: _Part, writer: RecordWriter) -> None:
    """Save the fails that were held, or report the evaluator if it found a value in no output."""
    verdicts, tally = tuple(part.held_verdicts), part.tally
    part.held_verdicts.clear()
    for verdict in verdicts:
        if tally.has_read_value or tally.existing or len(verdicts) < FEWEST_UNREAD:
            _save_verdict(part, verdict, writer)
        elif isinstance(verdict.value, Evaluation):
            if verdict.is_unread:
                reason = (
                    f"The evaluator finds no value in any of {len(verdicts)} outputs, so it gives "
                    "no score. Correct its value_expression."
                )
            else:
                reason = f"The evaluator fails all {len(verdicts)} outputs. {part.fault}"
            reason = f"{verdict.value.verdict} {reason}"
            tally.done += 1
            tally.failures.append(Failure(verdict.item.id, verdict.request.config_name, reason))


def _take_verdict(part: _Part, verdict: NewVerdict, writer: RecordWriter) -> None:
    """Save a verdict, or hold it while it says more of the evaluator than of the output."""
    tally = part.tally
    if not tally.has_read_value and part.is_doubtful(verdict):
        part.held_verdicts.append(verdict)
        return
    tally.has_read_value |= isinstance(verdict.value, Evaluation)
    _save_verdict(part, verdict, writer)


def _save_verdict(part: _Part, verdict: NewVerdict, writer: RecordWriter) -> None:
    record = result_of(part.measurement, verdict)
    when_saved = partial(part.tally.take_verdict, verdict.value)
    writer.add(record, part.measurement.evaluator_record, when_saved)


def _take_all(
    run: _Run,
    work: OutputWork,
    records: tuple[Item, EarlierOutput],
    values: Verdicts,
    writer: RecordWriter,
) -> None:
    """Take the verdicts of an output that need no call of a model."""
    item, output = records
    run.parts[work.lead].tally.note_output(output.case)
    for key, value in values.items():
        verdict = NewVerdict(work.requests[key], item, output.run, value)
        _take_verdict(run.parts[key], verdict, writer)


async def _do(
    run: _Run,
    work: OutputWork,
    records: tuple[Item, EarlierOutput | None],
    writer: RecordWriter,
) -> None:
    """Make the verdicts of an output, and the output if there is none; the writer saves them.

    Raises:
        ModelError: There is no output.
    """
    item, earlier_output = records
    if earlier_output is not None:
        output, case = earlier_output.run, earlier_output.case
        if work.first.run_config is None and output.answer_state != COMPLETE:
            for key in work.requests:
                run.parts[key].tally.take_unusable(item.id, output.answer_state)
            return
    else:
        output = await _generate(run, work, item, writer)
        case = case_of(item, output)
    run.parts[work.lead].tally.note_output(case)

    async def judge(key: int) -> None:
        request = work.requests[key]
        try:
            await _judge(run.parts[key], _JudgedOutput(request, item, output, case), writer)
        except (ModelError, EvalError) as error:
            run.parts[key].take_failure(request, error)
            await run.report()

    # Checks first: they cost nothing. The judges are asked at the same time.
    asks_model = [key for key in work.requests if run.parts[key].evaluator.model is not None]
    for key in work.requests.keys() - asks_model:
        await judge(key)
    if len(asks_model) == 1:
        await judge(asks_model[0])
    else:
        await for_each(asks_model, judge, lambda: len(asks_model))


@dataclass(frozen=True, slots=True)
class _JudgedOutput:
    """An output that is to be judged."""

    request: VerdictRequest
    item: Item
    output: TaskRun
    case: Case


async def _judge(part: _Part, source: _JudgedOutput, writer: RecordWriter) -> None:
    """Make an evaluator's verdicts of an output.

    Raises:
        ModelError: The judge's model gave no usable answer.
        EvalError: The evaluator cannot be used on it.
    """
    for number in source.request.verdicts:
        # Where the judge asks no model, an output that is paid for gets its verdict in any case.
        asks_none = part.evaluator.model is None
        with anyio.CancelScope(shield=True) if asks_none else nullcontext():
            context = replace(part.context, verdict_number=number) if number else part.context
            value = await part.evaluator.evaluate(source.case, context)
            verdict = NewVerdict(source.request, source.item, source.output, value, number)
            _take_verdict(part, verdict, writer)


async def _generate(run: _Run, work: OutputWork, item: Item, writer: RecordWriter) -> TaskRun:
    """Return a new output, which the writer saves.

    Raises:
        ModelError: The model gave no usable answer.
    """
    request = work.first
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

    def when_saved() -> None:
        for key in work.requests:
            if key == work.lead:
                run.parts[key].tally.take_output(production.usage.hidden_tokens)
            else:
                run.parts[key].tally.take_shared_output()

    writer.add(output, run.parts[work.lead].measurement.task, when_saved)
    return output
