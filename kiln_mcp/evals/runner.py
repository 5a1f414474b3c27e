"""Running evals: outputs for the items of a split, and an evaluator's verdicts on them.

What is there already is not made again: an item that has a verdict is passed over, and an output
that was made for another judge is judged as it is. What fails is reported by item and tried again
by the next run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import anyio

from kiln_mcp.evals.checks import Skipped
from kiln_mcp.evals.code import with_code
from kiln_mcp.evals.errors import EvalError
from kiln_mcp.evals.items import Item, case_of, stored_case
from kiln_mcp.evals.judges import Judged, calls_per_item, judge_case, judge_model
from kiln_mcp.evals.task_runs import Setup, produce, resolve, stored_usage, to_task_run
from kiln_mcp.llm import Engine
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.llm.for_each import for_each
from kiln_mcp.workspace import Workspace
from storage import (
    Eval,
    EvalConfig,
    EvalInput,
    EvalRun,
    ProjectStore,
    Prompt,
    Task,
    TaskRun,
    TaskRunConfig,
)
from storage.index.queries import RunQuery

RUN_LOG: Final = "kiln_mcp_runs.jsonl"


@dataclass(frozen=True, slots=True)
class Measurement:
    """An eval with the evaluator that is used, and all that belongs to them.

    Attributes:
        store: The open project.
        task: The eval's task.
        measured: The eval.
        judge: The evaluator.
        runs: The task's runs that matter to it: its items, and those that evals made.
        shown: Those that prompts may show as examples.
        prompts: The task's saved prompts.
        inputs: The task's eval inputs.
        verdicts: The evaluator's results so far.
    """

    store: ProjectStore
    task: Task
    measured: Eval
    judge: EvalConfig
    runs: Sequence[TaskRun]
    shown: Sequence[TaskRun]
    prompts: Sequence[Prompt]
    inputs: Sequence[EvalInput]
    verdicts: Sequence[EvalRun]


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that could not be scored, and why."""

    item_id: str
    run_config: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a run of an eval did.

    Attributes:
        scored: Items that have a new verdict.
        kept: Items that had one already.
        generated: Outputs that were made.
        skipped: Items that lack what the evaluator needs.
        failures: Items that could not be scored.
    """

    scored: int
    kept: int
    generated: int
    skipped: int
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """One verdict to be made: of an output of a run config, or of a stored run as it is."""

    item: Item
    run_config: TaskRunConfig | None
    setup: Setup | None
    output: TaskRun | None


@dataclass(slots=True)
class _Tally:
    """What is done. Outputs and verdicts count where a model is asked, each by itself."""

    total: int
    judged_by_model: bool
    done: int = 0
    scored: int = 0
    generated: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list[Failure])

    def take_output(self) -> None:
        self.generated += 1
        self.done += self.judged_by_model

    def take_verdict(self, verdict: "Judged | Skipped") -> None:
        self.done += 1
        if isinstance(verdict, Skipped):
            self.skipped += 1
        else:
            self.scored += 1

    @property
    def said(self) -> str:
        """What is done, in words."""
        counts = {
            "outputs made": self.generated if self.judged_by_model else 0,
            "scored": self.scored,
            "skipped": self.skipped,
            "failed": len(self.failures),
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


@dataclass(frozen=True, slots=True)
class Work:
    """What is left to do for a measurement.

    Attributes:
        jobs: The verdicts to be made.
        kept: Verdicts that are there already.
    """

    measurement: Measurement
    jobs: tuple[_Job, ...]
    kept: int

    @property
    def generations(self) -> int:
        """Return how many outputs must be made."""
        return sum(job.output is None for job in self.jobs)

    @property
    def steps(self) -> int:
        """Return how much there is to do, as progress counts it."""
        return len(self.jobs) + (self.generations if judge_model(self.measurement.judge) else 0)

    @property
    def calls_by_model(self) -> Mapping[str, int]:
        """Return how often each model will be asked, corrections left out."""
        calls: dict[str, int] = {}
        judge = judge_model(self.measurement.judge)
        if judge:
            calls[judge] = len(self.jobs) * calls_per_item(self.measurement.judge)
        for job in self.jobs:
            if job.output is None and job.setup is not None:
                each = 2 if job.setup.thinking else 1
                calls[job.setup.model] = calls.get(job.setup.model, 0) + each
        return calls


def plan_run(
    measurement: Measurement,
    run_configs: Sequence[TaskRunConfig],
    items: Sequence[Item],
    seed: int = 0,
) -> Work:
    """Return what is left to do for run configs over items.

    Raises:
        UnsupportedRunConfig: A run config does not run here.
    """
    done = {
        (verdict.dataset_id or verdict.eval_input_id, verdict.task_run_config_id)
        for verdict in measurement.verdicts
        if not verdict.eval_config_eval
    }
    made = _made(measurement.runs)
    jobs: list[_Job] = []
    kept = 0
    for config in run_configs:
        setup = resolve(measurement.task, config, measurement.prompts, measurement.shown, seed=seed)
        for item in items:
            if (item.id, config.id) in done:
                kept += 1
            else:
                jobs.append(_Job(item, config, setup, made.get((item.id, config.id))))
    return Work(measurement, tuple(jobs), kept)


def _made(runs: Sequence[TaskRun]) -> dict[tuple[str, str | None], TaskRun]:
    """Return the outputs that evals made, by item and run config."""
    return {
        (run.eval_source.source_id, run.output.source.run_config_id): run
        for run in runs
        if run.eval_source and run.output.source
    }


def plan_calibration(measurement: Measurement, runs: Sequence[TaskRun]) -> Work:
    """Return what is left to do to judge stored outputs as they are."""
    done = {v.dataset_id for v in measurement.verdicts if v.eval_config_eval}
    jobs = tuple(
        _Job(Item(run.id, "task_run", run.input), None, None, run)
        for run in runs
        if run.id not in done
    )
    return Work(measurement, jobs, len(runs) - len(jobs))


async def carry_out(workspace: Workspace, work: Work) -> RunOutcome:
    """Make the outputs and verdicts, at most 16 items at once, and save each as it comes.

    An item that fails does not stop the others. What was done is written to a log beside the
    evaluator, with fingerprints and seeds. Where another call scores items of the same task, this
    one waits for it, and does what is left then.
    """
    about = await ready(workspace, work.measurement)
    work = replace(work, measurement=about)
    turn = workspace.turns.at(str(about.store.folder / about.task.saved.path))
    others_first = turn.locked()
    if others_first:
        said = "Another call scores items of this task: it goes first."
        await workspace.report(0, work.steps, said)
    async with turn:
        left = await _left_of(work) if others_first else work
        if others_first and not left.jobs:
            await workspace.report(work.steps, work.steps, "Another call has scored them all.")
        return await _carry_out(workspace, left)


async def ready(workspace: Workspace, about: Measurement) -> Measurement:
    """Return an eval whose evaluator can be run: a code evaluator gets its code.

    Raises:
        UntrustedFolder: The evaluator is code, and the person has not trusted the folder.
        EvalError: The code cannot be read, or calls tools.
    """
    judge = await with_code(workspace, about.store, about.judge)
    return about if judge is about.judge else replace(about, judge=judge)


async def _left_of(work: Work) -> Work:
    """Return what is still to be done of a plan that others may have done part of."""
    about = work.measurement
    store = about.store
    verdicts = await store.children(about.judge, EvalRun)
    made = _made(await store.runs(about.task, RunQuery(made_by_evals=True)))
    done = {
        (v.dataset_id or v.eval_input_id, v.task_run_config_id, v.eval_config_eval)
        for v in verdicts
    }
    left: list[_Job] = []
    for job in work.jobs:
        item, config = job.item.id, job.run_config.id if job.run_config else None
        if (item, config, config is None) in done:
            continue
        output = job.output or (made.get((item, config)) if config else None)
        left.append(replace(job, output=output))
    return Work(about, tuple(left), work.kept + len(work.jobs) - len(left))


async def _carry_out(workspace: Workspace, work: Work) -> RunOutcome:
    engine, report = workspace.engine, workspace.report
    tally = _Tally(work.steps, judge_model(work.measurement.judge) is not None)

    async def do(job: _Job) -> None:
        try:
            await _do(engine, work.measurement, job, tally)
        finally:
            await report(tally.done, tally.total, tally.said)

    await for_each(work.jobs, do)
    outcome = RunOutcome(
        scored=tally.scored,
        kept=work.kept,
        generated=tally.generated,
        skipped=tally.skipped,
        failures=tuple(tally.failures),
    )
    if work.jobs:
        await _write_log(work, outcome)
    return outcome


async def _do(engine: Engine, about: Measurement, job: _Job, tally: _Tally) -> None:
    asks = judge_model(about.judge) is not None
    try:
        output = job.output or await _generate(engine, about, job, tally)
        # Where the judge asks no model, an output that is paid for gets its verdict in any case.
        with anyio.CancelScope(shield=not asks):
            case = case_of(job.item, output) if job.run_config else stored_case(output)
            asker = f"evals/judge {about.judge.name}"
            verdict = await judge_case(engine, about.judge, about.measured, about.task, case, asker)
            with anyio.CancelScope(shield=True):
                await about.store.save(_eval_run(about, job, output, verdict), parent=about.judge)
                tally.take_verdict(verdict)
    except (ModelError, EvalError) as error:
        name = job.run_config.name if job.run_config else "stored output"
        tally.failures.append(Failure(job.item.id, name, str(error)))


async def _generate(engine: Engine, about: Measurement, job: _Job, tally: _Tally) -> TaskRun:
    if job.setup is None or job.run_config is None:
        raise RuntimeError("a stored output is judged as it is")
    asker = f"evals/run {job.run_config.name}"
    produced = await produce(engine, job.setup, job.item.task_input, asker)
    made = to_task_run(produced, job.item.task_input, job.run_config, job.setup)
    run = made.replace(eval_source=job.item.source)
    with anyio.CancelScope(shield=True):  # a pause and a cancel keep what is paid for
        run = await about.store.save(run, parent=about.task)
        tally.take_output()
    return run


def _eval_run(about: Measurement, job: _Job, output: TaskRun, verdict: Judged | Skipped) -> EvalRun:
    judged = verdict if isinstance(verdict, Judged) else None
    skipped = verdict if isinstance(verdict, Skipped) else None
    by_input = job.item.kind == "eval_input"
    older = about.judge.config_type != "v2"
    usage = judged.usage if judged else None
    return EvalRun(
        dataset_id=None if by_input else job.item.id,
        eval_input_id=job.item.id if by_input else None,
        task_run_config_id=job.run_config.id if job.run_config else None,
        eval_config_eval=job.run_config is None,
        # Older judges' results hold copies; newer ones point at the run, and must not hold any.
        scored_run_id=None if older else output.id,
        input=job.item.task_input if older else None,
        output=output.output.output if older else None,
        task_run_usage=output.usage if older else None,
        intermediate_outputs=(
            {"chain_of_thought": judged.reasoning} if judged and judged.reasoning else None
        ),
        scores=dict(judged.scores) if judged else {},
        eval_usage=stored_usage(usage, judged.latency_s) if judged and usage else None,
        skipped_reason=skipped.reason if skipped else None,
        skipped_detail=skipped.detail if skipped else None,
    )


async def _write_log(work: Work, outcome: RunOutcome) -> None:
    about = work.measurement
    setups = {
        job.run_config.id: job.setup.fingerprint
        for job in work.jobs
        if job.run_config and job.setup
    }
    seeds = {job.setup.seed for job in work.jobs if job.setup}
    entry = {
        "v": 1,
        "at": datetime.now(UTC).isoformat(),
        "run_configs": setups,
        "seed": min(seeds, default=None),
        "judge_model": judge_model(about.judge),
        "scored": outcome.scored,
        "kept": outcome.kept,
        "generated": outcome.generated,
        "skipped": outcome.skipped,
        "failures": [
            {"item": f.item_id, "run_config": f.run_config, "reason": f.reason}
            for f in outcome.failures
        ],
    }
    async with about.store.transaction() as change:
        change.append_lines(about.judge, RUN_LOG, [json.dumps(entry, ensure_ascii=False)])
