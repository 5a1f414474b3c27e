"""The work of a measurement: which verdicts are to be made, and which outputs for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kiln_mcp.evals.items import Item
from kiln_mcp.evaluators.evaluator import Evaluator
from kiln_mcp.evaluators.registry import evaluator_of
from kiln_mcp.run_configs.task_runs import Setup, resolve
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


@dataclass(frozen=True, slots=True)
class Measurement:
    """An eval with the evaluator that is used, and all that belongs to them.

    Attributes:
        store: The open project.
        task: The eval's task.
        eval_record: The eval.
        evaluator_record: The evaluator.
        runs: The task's runs that matter to it: its items, and those that evals made.
        examples: Those that prompts may show as examples.
        prompts: The task's saved prompts.
        inputs: The task's eval inputs.
        verdicts: The evaluator's results so far.
    """

    store: ProjectStore
    task: Task
    eval_record: Eval
    evaluator_record: EvalConfig
    runs: Sequence[TaskRun]
    examples: Sequence[TaskRun]
    prompts: Sequence[Prompt]
    inputs: Sequence[EvalInput]
    verdicts: Sequence[EvalRun]

    @property
    def evaluator(self) -> Evaluator:
        """Return what the evaluator's record stands for."""
        return evaluator_of(self.evaluator_record)


@dataclass(frozen=True, slots=True)
class VerdictTask:
    """One verdict to be made: of an output of a run config, or of a stored run as it is."""

    item: Item
    run_config: TaskRunConfig | None
    setup: Setup | None
    output: TaskRun | None

    def claims(self, evaluator_record: EvalConfig) -> tuple[str, ...]:
        """Return what is claimed so that nobody else makes this verdict, or its output, too."""
        item, config = self.item.id, self.run_config.id if self.run_config else "as stored"
        verdict = f"verdict {evaluator_record.id} {item} {config}"
        return (verdict,) if self.output else (f"output {item} {config}", verdict)


@dataclass(frozen=True, slots=True)
class Work:
    """What is left to do for a measurement.

    Attributes:
        jobs: The verdicts to be made.
        existing: Verdicts that are there already.
    """

    measurement: Measurement
    jobs: tuple[VerdictTask, ...]
    existing: int

    @property
    def generations(self) -> int:
        """Return how many outputs must be made."""
        return sum(job.output is None for job in self.jobs)

    @property
    def steps(self) -> int:
        """Return how much there is to do, as progress counts it."""
        return len(self.jobs) + (self.generations if self.measurement.evaluator.model else 0)

    @property
    def calls_by_model(self) -> Mapping[str, int]:
        """Return how often each model will be asked, corrections left out."""
        calls: dict[str, int] = {}
        evaluator = self.measurement.evaluator
        if evaluator.model:
            calls[evaluator.model] = len(self.jobs) * evaluator.calls_per_item
        for job in self.jobs:
            if job.output is None and job.setup is not None:
                calls_per_output = 2 if job.setup.thinking else 1
                calls[job.setup.model] = calls.get(job.setup.model, 0) + calls_per_output
        return calls


def plan_run(
    measurement: Measurement,
    run_configs: Sequence[TaskRunConfig],
    items: Sequence[Item],
    seed: int = 0,
) -> Work:
    """Return what is left to do for run configs over items.

    Raises:
        Refusal: A run config does not run here.
    """
    done = {
        (verdict.dataset_id or verdict.eval_input_id, verdict.task_run_config_id)
        for verdict in measurement.verdicts
        if not verdict.eval_config_eval
    }
    outputs = _outputs_by_item(measurement.runs)
    jobs: list[VerdictTask] = []
    existing = 0
    for config in run_configs:
        setup = resolve(
            measurement.task, config, measurement.prompts, measurement.examples, seed=seed
        )
        for item in items:
            if (item.id, config.id) in done:
                existing += 1
            else:
                jobs.append(VerdictTask(item, config, setup, outputs.get((item.id, config.id))))
    return Work(measurement, tuple(jobs), existing)


def _outputs_by_item(runs: Sequence[TaskRun]) -> dict[tuple[str, str | None], TaskRun]:
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
        VerdictTask(Item(run.id, "task_run", run.input), None, None, run)
        for run in runs
        if run.id not in done
    )
    return Work(measurement, jobs, len(runs) - len(jobs))


class VerdictProgress:
    """The verdicts and outputs of a measurement, those of other processes included.

    Each record is read once: neither verdicts nor outputs of evals ever change.

    Args:
        measurement: What was there when the work was planned.
    """

    def __init__(self, measurement: Measurement) -> None:
        self._measurement = measurement
        self._verdicts = {record.saved.path: record for record in measurement.verdicts}
        self._runs = {
            record.saved.path: record for record in measurement.runs if record.eval_source
        }

    async def verdicts(self) -> list[EvalRun]:
        """Return the evaluator's results by now, the oldest first."""
        store, evaluator_record = self._measurement.store, self._measurement.evaluator_record
        for record in await store.children(evaluator_record, EvalRun, skip=self._verdicts.keys()):
            self._verdicts[record.saved.path] = record
        return sorted(self._verdicts.values(), key=lambda record: (record.created_at, record.id))

    async def outputs(self) -> list[TaskRun]:
        """Return the outputs that evals have made by now."""
        store, task = self._measurement.store, self._measurement.task
        query = RunQuery(is_from_eval=True)
        for record in await store.runs(task, query, skip=self._runs.keys()):
            self._runs[record.saved.path] = record
        return list(self._runs.values())

    def take_output(self, run: TaskRun) -> None:
        """Know an output that this process has saved."""
        self._runs[run.saved.path] = run

    def take_verdict(self, verdict: EvalRun) -> None:
        """Know a verdict that this process has saved."""
        self._verdicts[verdict.saved.path] = verdict

    async def open_jobs(self, jobs: Sequence[VerdictTask]) -> list[VerdictTask]:
        """Return those jobs whose verdict is not there by now, with outputs made meanwhile."""
        done = {
            (v.dataset_id or v.eval_input_id, v.task_run_config_id, v.eval_config_eval)
            for v in await self.verdicts()
        }
        outputs: dict[tuple[str, str | None], TaskRun] = {}
        if not all(job.output for job in jobs):
            await self._measurement.store.refresh()  # the outputs of other processes
            outputs = _outputs_by_item(await self.outputs())
        open_jobs: list[VerdictTask] = []
        for job in jobs:
            item, config = job.item.id, job.run_config.id if job.run_config else None
            if (item, config, config is None) not in done:
                open_jobs.append(replace(job, output=job.output or outputs.get((item, config))))
        return open_jobs
