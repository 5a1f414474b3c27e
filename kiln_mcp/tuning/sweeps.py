"""Sweeps: several trainings as one job, finished by one comparison of all that came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from statistics import fmean
from typing import Final

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.parts import MeasuredPart
from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.eval_reports import items_of_part
from kiln_mcp.evals.lookups import find_run_configs, load_measurement
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.results.comparison_report import ComparisonRequest, comparison_report
from kiln_mcp.evals.run_requests import RunRequest, open_evaluators, plan_work
from kiln_mcp.evals.runner import carry_out_together
from kiln_mcp.evals.scored_outputs import read_scored_outputs
from kiln_mcp.evaluators.evaluator import calls_of_item
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.run_configs.model_names import StoredModel, engine_model
from kiln_mcp.tuning.providers.provider import Value
from kiln_mcp.tuning.providers.service_client import ServiceFailure
from kiln_mcp.tuning.sweep_answers import SweepResult, SweptTraining
from kiln_mcp.tuning.sweep_outlook import SweepOutlook, sweep_outlook
from kiln_mcp.tuning.training_checks import plan_training
from kiln_mcp.tuning.training_drafts import TrainingWish, draft_training
from kiln_mcp.tuning.training_files import FrozenData
from kiln_mcp.tuning.trainings import Training, train
from kiln_mcp.workbench.workspace import Workspace
from storage import Finetune, TaskRunConfig
from storage.errors import InvalidValue, NextStep, Refusal
from storage.records.ratings import RATING_RANGES
from storage.records.run_config import KilnAgentProperties

MOST_TRAININGS: Final = 24


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """A sweep as a call asks for it.

    Attributes:
        base_models: What is trained, as the provider names it.
        prompts: Run configs whose prompts are learnt; None for the task's own.
        grid: Values to try by parameter.
        compare: Run configs that the tuned models are compared with, the baseline first.
        evaluator: Of the eval; None for the current one.
        part: Whose items they are compared on.
        most_hours: No training starts later than this after the first one.
    """

    base_models: Sequence[str]
    prompts: Sequence[str | None]
    grid: Mapping[str, Sequence[Value]]
    compare: Sequence[str]
    evaluator: str | None
    part: MeasuredPart
    most_hours: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep whose trainings are drafted.

    Attributes:
        workspace: Of the caller.
        data: The frozen split and its task.
        task_eval: What the models are compared by.
        request: What was asked.
        trainings: In the order in which they are done.
        outlook: What the comparison can show.
    """

    workspace: Workspace
    data: FrozenData
    task_eval: TaskEval
    request: SweepRequest
    trainings: Sequence[Training]
    outlook: SweepOutlook


def wishes_of(request: SweepRequest, wish: TrainingWish) -> list[TrainingWish]:
    """Return the trainings of a sweep: each base with each prompt and each set of values.

    Args:
        request: The sweep.
        wish: What all of them have in common.

    Raises:
        InvalidValue: There is none, or there are too many.
    """
    names = list(request.grid)
    rows = list(product(request.base_models, request.prompts, product(*request.grid.values())))
    if not 1 <= len(rows) <= MOST_TRAININGS:
        raise InvalidValue(
            "A sweep has 1 to {most} trainings, and this one has {count}: {bases} bases times "
            "{prompts} prompts times the values of each parameter. Name fewer values.",
            most=MOST_TRAININGS,
            count=len(rows),
            bases=len(request.base_models),
            prompts=len(request.prompts),
        )
    wishes: list[TrainingWish] = []
    for number, (base, prompt, values) in enumerate(rows, 1):
        own = dict(zip(names, values, strict=True))
        words = [
            base.rpartition("/")[2],
            *([f"prompt of {prompt}"] if prompt else []),
            *(f"{name} {value}" for name, value in own.items()),
        ]
        wishes.append(
            replace(
                wish,
                base_model=base,
                run_config=prompt,
                name=", ".join([wish.name or "Sweep", *words]),
                parameters={**(wish.parameters or {}), **own},
                label=f"{number}",
            )
        )
    return wishes


async def draft_sweep(
    workspace: Workspace,
    data: FrozenData,
    task_eval: TaskEval,
    request: SweepRequest,
    wish: TrainingWish,
) -> Sweep:
    """Return a sweep, each of its trainings checked; nothing is trained.

    Raises:
        InvalidValue: It has no training or too many, or a parameter is not valid.
        Refusal: The data cannot be learnt, or the part has no items.
    """
    if not request.compare:
        raise InvalidValue("Name what the tuned models are compared with: a run config or more.")
    configs = await find_run_configs(data.store, data.task, request.compare)
    measurement = await load_measurement(data.store, task_eval, request.evaluator)
    items = [item.id for item in await items_of_part(measurement, request.part)]
    if not items:
        raise Refusal(
            "Nothing was trained: the part '{part}' of the eval '{eval}' has no items to compare "
            "models on.",
            part=request.part,
            eval=task_eval.eval_record.name,
            next=[NextStep(tool="split_data", reason="deal items into that part")],
        )
    trainings = [
        await draft_training(workspace, data, own_wish) for own_wish in wishes_of(request, wish)
    ]
    outlook = await _outlook(data, measurement, configs[0], items, len(trainings))
    return Sweep(workspace, data, task_eval, request, trainings, outlook)


async def _outlook(
    data: FrozenData,
    measurement: Measurement,
    baseline: TaskRunConfig,
    items: Sequence[str],
    models: int,
) -> SweepOutlook:
    """Return what the comparison can show, by the results that there are of these items."""
    records = await data.store.children(data.task, Finetune)
    earlier_models = {record.fine_tune_model_id for record in records}
    earlier_configs = [
        config
        for config in await data.store.children(data.task, TaskRunConfig)
        if _model_of(config) in earlier_models and config.id != baseline.id
    ]
    score = measurement.eval_record.output_scores[0]
    low, high = RATING_RANGES[score.type]
    outputs = await read_scored_outputs(measurement, [baseline, *earlier_configs])
    results, *earlier_results = (
        {
            item: (mean - low) / (high - low)
            for item, mean in outputs.means(config.id, score.json_key, frozenset(items)).items()
        }
        for config in (baseline, *earlier_configs)
    )
    gains = [
        fmean(own[item] - results[item] for item in shared)
        for own in earlier_results
        if (shared := own.keys() & results.keys())
    ]
    return sweep_outlook(len(items), models, list(results.values()), gains)


def _model_of(config: TaskRunConfig) -> str:
    """Return the engine's name of a run config's model; "" for a program."""
    own = config.run_config_properties
    if not isinstance(own, KilnAgentProperties):
        return ""
    return engine_model(StoredModel(own.model_name, own.model_provider_name))


async def plan_sweep(sweep: Sweep) -> Plan:
    """Return the plan of a sweep: its trainings, its measurement, and what that can show."""
    request, count = sweep.request, len(sweep.trainings)
    outputs = sweep.outlook.items * (count + len(request.compare))
    measurement = await load_measurement(sweep.data.store, sweep.task_eval, request.evaluator)
    evaluator, first = measurement.evaluator, plan_training(sweep.trainings[0])
    calls = {model: outputs * count for model, count in calls_of_item(evaluator).items()}
    summary = (
        f"Train {count} models, one after the other, none after {request.most_hours:g} hours, and "
        f"compare them with {', '.join(request.compare)} on {request.part} of "
        f"{sweep.task_eval.eval_record.name!r}. {sweep.outlook.says} The first: {first.summary}"
    )
    plan = await estimate_cost(sweep.workspace.engine, summary, calls, "evals")
    return replace(
        plan,
        highest_cost_usd=None if first.highest_cost_usd is None else plan.highest_cost_usd,
        destination=first.destination,
        is_long=True,
    )


async def carry_out_sweep(sweep: Sweep) -> SweepResult:
    """Train all models, measure them and what they are compared with, and compare them once.

    A training that fails stops no other one. Those that are done are found again after a kill.

    Raises:
        Refusal: Nothing came out of any training.
    """
    rows = [await _train_one(sweep, training) for training in sweep.trainings]
    usable_rows = [row for row in rows if row.run_config]
    if not usable_rows:
        raise Refusal(
            "None of the {count} trainings was completed. The first: {problem}",
            count=len(rows),
            problem=rows[0].problem,
        )
    store, workspace, request = sweep.data.store, sweep.workspace, sweep.request
    names = [*request.compare, *(row.run_config for row in usable_rows)]
    evaluators = [] if request.evaluator is None else [request.evaluator]
    run = RunRequest(evaluators, names, part=request.part)
    team = await open_evaluators(workspace, store, sweep.task_eval, evaluators)
    work = await plan_work(workspace, store, sweep.task_eval, team, run)
    await carry_out_together(workspace, work.plans)
    comparison = await comparison_report(
        store,
        sweep.task_eval,
        ComparisonRequest(names, request.compare[0], request.evaluator, request.part),
        workspace.author,
    )
    return SweepResult(
        trainings=rows,
        outlook=sweep.outlook.says,
        comparison=comparison,
        next=comparison.next,
    )


async def _train_one(sweep: Sweep, training: Training) -> SweptTraining:
    """Train a model; what prevents it becomes its problem."""
    run_config = problem = ""
    if await _is_too_late(sweep, training):
        problem = f"the sweep's {sweep.request.most_hours:g} hours were over"
    else:
        try:
            run_config = (await train(training)).run_config
        except (Refusal, ServiceFailure) as error:
            problem = str(error)
    return SweptTraining(
        name=training.name,
        base_model=training.base_model,
        parameters=dict(training.parameters),
        run_config=run_config,
        problem=problem,
    )


async def _is_too_late(sweep: Sweep, training: Training) -> bool:
    """Return whether a training that has not begun would begin after the sweep's hours."""
    ids = {sibling.record_id for sibling in sweep.trainings}
    records = await sweep.data.store.children(sweep.data.task, Finetune)
    starts = {record.id: record.created_at for record in records if record.id in ids}
    if not starts or training.record_id in starts:
        return False
    start = min(starts.values())
    return datetime.now(UTC) - start > timedelta(hours=sweep.request.most_hours)
