"""Run evals: get outputs for the items of a split, and an evaluator's verdicts on them.

What is there already is not made again: an item that has a verdict is passed over, and an output
that was made for another judge is judged as it is. What fails is reported by item and tried again
by the next run. Records are read a few at a time, shortly before they are used.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import anyio

from kiln_mcp.evals.items import Item, case_of, stored_case
from kiln_mcp.evals.job_records import JobRecords
from kiln_mcp.evals.measurement import Measurement, VerdictTask, Work, open_jobs
from kiln_mcp.evals.record_writer import RecordWriter, record_writer
from kiln_mcp.evaluators.evaluator import (
    CANNOT_BE_JUDGED,
    Evaluation,
    Evaluator,
    Setting,
    Skipped,
)
from kiln_mcp.evaluators.registry import load_evaluator
from kiln_mcp.llm import AnswerState
from kiln_mcp.llm.errors import BadAnswer, ModelError
from kiln_mcp.llm.for_each import Width, for_each
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.run_configs.task_runs import produce, stored_usage, to_task_run
from kiln_mcp.workbench.workspace import FIRST_PAUSE_S, LONGEST_PAUSE_S, Workspace
from storage import EvalRun, TaskRun

RUN_LOG: Final = "kiln_mcp_runs.jsonl"
CLAIMED_AT_ONCE: Final = 1024


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that could not be scored, and why.

    Attributes:
        item_id: The item.
        run_config: The run config's name.
        reason: The error's sentence.
        state: The state of the answer that could not be used; None if there was no answer.
    """

    item_id: str
    run_config: str
    reason: str
    state: AnswerState | None = None


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a run of an eval did.

    Attributes:
        new_verdicts: Items that have a new verdict.
        existing: Items that had one already, or got one from another call meanwhile.
        new_outputs: Outputs that were made.
        skipped: Items that lack what the evaluator needs.
        failures: Items that could not be scored.
        abstentions: Items that the judge said cannot be judged.
        hidden_tokens: Output tokens of new outputs that their server did not list as output.
    """

    new_verdicts: int
    existing: int
    new_outputs: int
    skipped: int
    failures: tuple[Failure, ...]
    abstentions: int = 0
    hidden_tokens: int = 0

    @property
    def failures_by_state(self) -> Mapping[AnswerState, int]:
        """The failures because of an answer that could not be used, by its state."""
        return Counter(failure.state for failure in self.failures if failure.state is not None)


@dataclass(slots=True)
class _Tally:
    """What is done. Outputs and verdicts count where a model is asked, each by itself."""

    total: int
    is_judged_by_model: bool
    existing: int = 0
    done: int = 0
    new_verdicts: int = 0
    new_outputs: int = 0
    skipped: int = 0
    abstentions: int = 0
    hidden_tokens: int = 0
    failures: list[Failure] = field(default_factory=list[Failure])

    def take_output(self, hidden_tokens: int) -> None:
        self.new_outputs += 1
        self.hidden_tokens += hidden_tokens
        self.done += self.is_judged_by_model

    def take_verdict(self, verdict: "Evaluation | Skipped") -> None:
        self.done += 1
        if isinstance(verdict, Skipped) and verdict.reason == CANNOT_BE_JUDGED:
            self.abstentions += 1
        elif isinstance(verdict, Skipped):
            self.skipped += 1
        else:
            self.new_verdicts += 1

    def take_results_of_others(
        self, jobs: Sequence[VerdictTask], open_jobs: Sequence[VerdictTask]
    ) -> None:
        """Count what others have done of some jobs since these were planned."""
        outputs = sum(job.output is None for job in jobs)
        outputs -= sum(job.output is None for job in open_jobs)
        self.existing += len(jobs) - len(open_jobs)
        self.done += len(jobs) - len(open_jobs) + outputs * self.is_judged_by_model

    @property
    def says(self) -> str:
        """What is done, in words."""
        counts = {
            "outputs made": self.new_outputs if self.is_judged_by_model else 0,
            "scored": self.new_verdicts,
            "skipped": self.skipped,
            "not judged": self.abstentions,
            "failed": len(self.failures),
        }
        return ", ".join(f"{count} {noun}" for noun, count in counts.items() if count)

    def says_of_others(self, items: int) -> str:
        """What is waited for, in words."""
        sentence = f"Another call or program scores {items} of the items: waiting for its results."
        return f"{self.says}. {sentence}" if self.says else sentence

    @property
    def did_anything(self) -> bool:
        """Whether any item was tried here."""
        return bool(self.new_verdicts or self.skipped or self.abstentions or self.failures)

    def outcome(self) -> RunOutcome:
        """Return what was done in all."""
        return RunOutcome(
            new_verdicts=self.new_verdicts,
            existing=self.existing,
            new_outputs=self.new_outputs,
            skipped=self.skipped,
            failures=tuple(self.failures),
            abstentions=self.abstentions,
            hidden_tokens=self.hidden_tokens,
        )


async def carry_out(workspace: Workspace, work: Work) -> RunOutcome:
    """Make the outputs and verdicts, as many at once as the models' servers allow; save each.

    An item that fails does not stop the others. What was done is written to a log beside the
    evaluator, with fingerprints and seeds. Items are claimed in the project first: those that
    another call or process is at, from whatever home, are left to it until the others are done,
    then its results are taken, or what it has not done is done here.
    """
    measurement = await ready(workspace, work.measurement)
    evaluator = measurement.evaluator
    tally = _Tally(work.steps, evaluator.model is not None, existing=work.existing)
    run = _Run(
        workspace=workspace,
        measurement=measurement,
        evaluator=evaluator,
        setting=_setting(workspace, measurement),
        tally=tally,
        width=_width(workspace, work),
    )
    waiting: Sequence[VerdictTask] = work.jobs
    pause_s = FIRST_PAUSE_S
    while waiting:
        foreign_jobs: list[VerdictTask] = []
        for begin in range(0, len(waiting), CLAIMED_AT_ONCE):
            chunk = waiting[begin : begin + CLAIMED_AT_ONCE]
            foreign_jobs += await _carry_out_claimed(run, chunk)
        if len(foreign_jobs) < len(waiting):
            pause_s = FIRST_PAUSE_S
        else:
            await workspace.report(tally.done, tally.total, tally.says_of_others(len(foreign_jobs)))
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        waiting = foreign_jobs
    outcome = tally.outcome()
    if tally.did_anything:
        await _write_log(work, outcome)
    return outcome


def _setting(workspace: Workspace, measurement: Measurement) -> Setting:
    purpose = f"evals/judge {measurement.evaluator_record.name}"
    return Setting(workspace.engine, measurement.eval_record, measurement.task, purpose)


def _width(workspace: Workspace, work: Work) -> Width:
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
        setting: Where the evaluator works.
        tally: What is done.
        width: How many items at once.
    """

    workspace: Workspace
    measurement: Measurement
    evaluator: Evaluator
    setting: Setting
    tally: _Tally
    width: Width

    async def report(self) -> None:
        """Report how far the run is."""
        await self.workspace.report(self.tally.done, self.tally.total, self.tally.says)


async def _carry_out_claimed(run: _Run, jobs: Sequence[VerdictTask]) -> list[VerdictTask]:
    """Do the jobs that nobody else is at; return the others."""
    measurement, tally = run.measurement, run.tally

    claim_keys = [key for job in jobs for key in job.claims(measurement.evaluator_record)]
    async with measurement.store.claims(claim_keys) as claims:
        is_own = [claims.issuperset(job.claims(measurement.evaluator_record)) for job in jobs]
        own = [job for job, is_claimed in zip(jobs, is_own, strict=True) if is_claimed]
        if own:
            # Who had claimed them before may have done them since this was planned.
            remaining_jobs = await open_jobs(measurement, own)
            tally.take_results_of_others(own, remaining_jobs)
            await _carry_out_all(run, remaining_jobs)
    return [job for job, is_claimed in zip(jobs, is_own, strict=True) if not is_claimed]


async def _carry_out_all(run: _Run, jobs: Sequence[VerdictTask]) -> None:
    store = run.measurement.store
    records = JobRecords(store, jobs)
    async with record_writer(store, run.report) as writer:

        async def do(number: int) -> None:
            job = jobs[number]
            try:
                await _do(run, job, await records.take(number), writer)
            except (ModelError, EvalError) as error:
                name = job.run_config.name if job.run_config else "stored output"
                state = error.state if isinstance(error, BadAnswer) else None
                run.tally.failures.append(Failure(job.item.id, name, str(error), state))
                await run.report()
            await writer.wait_for_room()

        await for_each(range(len(jobs)), do, run.width)


async def _do(
    run: _Run, job: VerdictTask, records: tuple[Item, TaskRun | None], writer: RecordWriter
) -> None:
    """Make one verdict, and its output if there is none; the writer saves them."""
    measurement, tally = run.measurement, run.tally
    item, output = records
    if output is None:
        output, hidden_tokens = await _generate(run, job, item)
        writer.add(output, measurement.task, partial(tally.take_output, hidden_tokens))
    # Where the judge asks no model, an output that is paid for gets its verdict in any case.
    with anyio.CancelScope(shield=run.evaluator.model is None):
        case = case_of(item, output) if job.run_config else stored_case(output)
        verdict = await run.evaluator.evaluate(case, run.setting)
        record = _eval_run(measurement, job, item, output, verdict)
        writer.add(record, measurement.evaluator_record, partial(tally.take_verdict, verdict))


async def _generate(run: _Run, job: VerdictTask, item: Item) -> tuple[TaskRun, int]:
    """Return a new output, and the tokens that its model thought with."""
    if job.setup is None or job.run_config is None:
        raise RuntimeError("a stored output is judged as it is")
    asker = f"evals/run {job.run_config.name}"
    production = await produce(run.workspace.engine, job.setup, item.task_input, asker)
    output = to_task_run(production, item.task_input, job.run_config, job.setup)
    return output.replace(eval_source=item.source), production.usage.hidden_tokens


def _eval_run(
    measurement: Measurement,
    job: VerdictTask,
    item: Item,
    output: TaskRun,
    verdict: Evaluation | Skipped,
) -> EvalRun:
    skipped = verdict if isinstance(verdict, Skipped) else None
    evaluation = None if isinstance(verdict, Skipped) else verdict
    by_input = item.kind == "eval_input"
    older = measurement.evaluator_record.config_type != "v2"
    usage = evaluation.usage if evaluation else None
    return EvalRun(
        dataset_id=None if by_input else item.id,
        eval_input_id=item.id if by_input else None,
        task_run_config_id=job.run_config.id if job.run_config else None,
        eval_config_eval=job.run_config is None,
        # Older judges' results hold copies; newer ones point at the run, and must not hold any.
        scored_run_id=None if older else output.id,
        input=item.task_input if older else None,
        output=output.output.output if older else None,
        task_run_usage=output.usage if older else None,
        intermediate_outputs=(evaluation.texts if evaluation and evaluation.texts else None),
        scores=evaluation.values if evaluation else {},
        eval_usage=stored_usage(usage, evaluation.latency_s) if evaluation and usage else None,
        skipped_reason=skipped.reason if skipped else None,
        skipped_detail=skipped.detail if skipped else None,
    )


async def _write_log(work: Work, outcome: RunOutcome) -> None:
    measurement = work.measurement
    setups = {job.run_config.id: job.setup for job in work.jobs if job.run_config and job.setup}
    seeds = {setup.seed for setup in setups.values()}
    entry = {
        "v": 1,
        "at": datetime.now(UTC).isoformat(),
        "run_configs": {config: setup.fingerprint for config, setup in setups.items()},
        "seed": min(seeds, default=None),
        "judge_model": measurement.evaluator.model,
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
