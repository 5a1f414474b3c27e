"""What a run of an eval is asked for: evaluators, and the outputs of run configs or stored ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kiln_mcp.datasets.parts import MeasuredPart
from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.eval_items import ItemReference, items_of
from kiln_mcp.evals.lookups import find_run_configs, load_measurement
from kiln_mcp.evals.measurement import (
    ONCE,
    Measurement,
    Repeats,
    VerdictPlan,
    plan_agreement,
    plan_run,
)
from kiln_mcp.evals.runner import ready
from kiln_mcp.evals.sentences import (
    check_judge_repeats,
    no_items,
    plan_sentence,
    stored_plan_sentence,
)
from kiln_mcp.evals.stored_outputs import StoredOutputs, outputs_to_begin_with, select_outputs
from kiln_mcp.llm.errors import ModelError
from kiln_mcp.programs.readiness import ready_run_configs
from kiln_mcp.run_configs.errors import EvalError
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, TaskRunConfig
from storage.errors import InvalidValue, Refusal, WorkbenchError

MOST_EVALUATORS: Final = 20


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run of an eval as a call asks for it.

    Attributes:
        evaluators: By name, id or handle; empty for the current one.
        run_configs: By name, id or handle; empty for all of the task.
        outputs: The stored outputs to judge as they are; None for those of run configs.
        part: The part whose items are run.
        most_items: At most so many; None for all.
        repeats: How often each item is run and judged.
        seed: Of sampling.
    """

    evaluators: Sequence[str] = ()
    run_configs: Sequence[str] = ()
    outputs: str | None = None
    part: MeasuredPart = "test"
    most_items: int | None = None
    repeats: Repeats = ONCE
    seed: int = 0

    def check(self) -> None:
        """Refuse arguments that contradict each other.

        Raises:
            InvalidValue: Stored outputs are to be made by run configs, or several times.
        """
        if self.outputs is None:
            return
        if self.run_configs:
            raise InvalidValue(
                "Give `outputs` to judge stored outputs as they are, or `run_configs` to make new "
                "ones, not both."
            )
        if self.repeats.outputs > 1:
            raise InvalidValue(
                "Stored outputs are judged as they are, so an item has one: leave `repeats` out. "
                "`judge_repeats` gives several verdicts of it."
            )


@dataclass(frozen=True, slots=True)
class Evaluators:
    """The evaluators of a run that can be used, and why others cannot, by their names."""

    measurements: Sequence[Measurement]
    problems: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class RunWork:
    """The work of a run of an eval.

    Attributes:
        plans: The work of each evaluator.
        summary: What will be done, in words.
        items: The items.
        configs: The run configs; empty for stored outputs.
        part: The name of the items' part; how the call names stored outputs.
        outputs: The stored outputs; None for those of run configs.
        problems: Why an evaluator does not run, by its name.
        warnings: What the person should know of the run configs.
    """

    plans: Sequence[VerdictPlan]
    summary: str
    items: Sequence[ItemReference]
    configs: Sequence[TaskRunConfig]
    part: str
    outputs: StoredOutputs | None = None
    problems: Mapping[str, str] = field(default_factory=dict[str, str])
    warnings: Sequence[str] = ()

    @property
    def measurements(self) -> list[Measurement]:
        """The eval with each evaluator."""
        return [plan.measurement for plan in self.plans]


async def open_evaluators(
    workspace: Workspace, store: ProjectStore, task_eval: TaskEval, references: Sequence[str]
) -> Evaluators:
    """Return the evaluators that a call names; of several, one that cannot be used stops no other.

    Raises:
        RecordNotFound: There is none of a name.
        Refusal: None can be used.
    """
    if len(references) > MOST_EVALUATORS:
        raise InvalidValue(
            "A run takes at most {most} evaluators, and {count} are named. Run the rest after it.",
            most=MOST_EVALUATORS,
            count=len(references),
        )
    candidates = [await load_measurement(store, task_eval, name) for name in references or [None]]
    distinct = {measurement.evaluator_record.id: measurement for measurement in candidates}
    usable: list[Measurement] = []
    errors: dict[str, WorkbenchError] = {}
    for measurement in distinct.values():
        try:
            usable.append(await _usable(workspace, store, measurement, is_alone=len(distinct) == 1))
        except (Refusal, EvalError, ModelError) as error:
            errors[measurement.evaluator_record.name] = error
    if not usable:
        raise next(iter(errors.values()))
    return Evaluators(usable, {name: str(error) for name, error in errors.items()})


async def _usable(
    workspace: Workspace, store: ProjectStore, measurement: Measurement, *, is_alone: bool
) -> Measurement:
    """Return an evaluator that can be run.

    Raises:
        Refusal: It is code that nobody trusts.
        EvalError: Its code cannot be read.
        ModelError: Its model cannot answer.
    """
    usable = await ready(workspace, measurement)
    model = usable.evaluator.model
    if model is not None and not is_alone:
        await workspace.check_ready(store, {model: 1})
    return usable


async def plan_work(
    workspace: Workspace,
    store: ProjectStore,
    task_eval: TaskEval,
    evaluators: Evaluators,
    request: RunRequest,
) -> RunWork:
    """Return what is left to do for a request.

    Raises:
        NothingToEvaluate: There is no item or no run config.
        InvalidValue: Nothing is called as `outputs` says.
        Refusal: A run config does not run here, or a check is to judge several times.
    """
    measurements = evaluators.measurements
    for measurement in measurements:
        check_judge_repeats(measurement, request.repeats.verdicts)
    if request.outputs is not None:
        return await _plan_stored(store, task_eval, evaluators, request, request.outputs)
    part = task_eval.eval_record.part(request.part)
    items = (await items_of(store, task_eval.task, part))[: request.most_items]
    if not items:
        outputs = await outputs_to_begin_with(store, task_eval.task)
        raise no_items(task_eval.eval_record, request.part, outputs)
    configs = await find_run_configs(store, task_eval.task, request.run_configs)
    plans = [
        await plan_run(m, configs, items, seed=request.seed, repeats=request.repeats)
        for m in measurements
    ]
    requests = [request for plan in plans for request in plan.requests]
    makers = {request.config_id for request in requests if request.output is None}
    only_scored = {request.config_id for request in requests} - makers
    warnings = await ready_run_configs(workspace, store, configs, only_scored)
    summary = plan_sentence(measurements, configs, len(items), request.repeats)
    problems = evaluators.problems
    return RunWork(
        plans, summary, items, configs, request.part, problems=problems, warnings=warnings
    )


async def _plan_stored(
    store: ProjectStore,
    task_eval: TaskEval,
    evaluators: Evaluators,
    request: RunRequest,
    name: str,
) -> RunWork:
    outputs = await select_outputs(store, task_eval.task, name, request.most_items, request.seed)
    verdicts = request.repeats.verdicts
    plans = [
        await plan_agreement(measurement, outputs.runs, verdicts, outputs.name)
        for measurement in evaluators.measurements
    ]
    items = [ItemReference(run.id, "task_run", run.path) for run in outputs.runs]
    summary = stored_plan_sentence(evaluators.measurements, outputs, request.repeats)
    part = f"stored outputs: {outputs.name}"
    return RunWork(plans, summary, items, (), part, outputs, evaluators.problems)
