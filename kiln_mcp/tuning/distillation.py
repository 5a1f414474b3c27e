"""Distillation: a stronger model's outputs become what another model learns, once verified.

An eval's evaluators verify them, and the right answers that items have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.datasets.parts import MeasuredPart
from kiln_mcp.datasets.task_eval import TaskEval
from kiln_mcp.evals.lookups import find_run_configs
from kiln_mcp.evals.measurement import Measurement
from kiln_mcp.evals.output_work import calls_of
from kiln_mcp.evals.run_requests import RunRequest, RunWork, open_evaluators, plan_work
from kiln_mcp.evals.runner import carry_out_together
from kiln_mcp.evals.scored_outputs import read_scored_outputs
from kiln_mcp.run_configs.cost_estimates import estimate_cost
from kiln_mcp.run_configs.task_runs import output_schema
from kiln_mcp.tuning.answers import DistilledModel, DistilledPart
from kiln_mcp.tuning.file_limits import check_thinking
from kiln_mcp.tuning.providers.provider import TuningProvider, check_parameters
from kiln_mcp.tuning.providers.registry import open_provider
from kiln_mcp.tuning.right_answers import agreements, reads_right_answers
from kiln_mcp.tuning.training_drafts import TrainingWish, draft_training
from kiln_mcp.tuning.training_files import FrozenData
from kiln_mcp.tuning.trainings import train
from kiln_mcp.workbench.workspace import Workspace
from storage import DatasetSplit, ProjectStore, SplitDefinition, Task, TaskRunConfig
from storage.errors import NextStep, Refusal
from storage.records.ratings import RATING_RANGES

_PARTS: Final[Sequence[MeasuredPart]] = ("train", "val")
LEAST_SHARE: Final = 0.75
"""An output is verified if each of its scores is at least here on its scale: four stars of five."""


@dataclass(frozen=True, slots=True)
class Distillation:
    """A distillation that is planned.

    Attributes:
        workspace: Of the caller.
        store: The project.
        task: The task.
        teacher: The run config whose outputs are learnt.
        work: For each part what is left to run and judge.
        wish: The training that follows.
        provider: Who trains.
    """

    workspace: Workspace
    store: ProjectStore
    task: Task
    teacher: TaskRunConfig
    work: Mapping[MeasuredPart, RunWork]
    wish: TrainingWish
    provider: TuningProvider


async def plan_distillation(
    workspace: Workspace,
    store: ProjectStore,
    task_eval: TaskEval,
    evaluators: Sequence[str],
    teacher: str,
    wish: TrainingWish,
) -> tuple[Distillation, Plan]:
    """Return a distillation and its plan; nothing is asked, sent or trained.

    Args:
        workspace: Of the caller.
        store: The project.
        task_eval: Its parts train and val have the inputs.
        evaluators: What verifies the outputs; empty for the eval's current one.
        teacher: The run config that answers.
        wish: The training that follows.

    Raises:
        Refusal: There are no inputs, or the provider cannot train.
    """
    task = task_eval.task
    provider = open_provider(wish.provider, workspace.settings.engine)
    check_thinking(provider, wish.thinking)
    check_parameters(provider.hyperparameters, wish.parameters or {})
    await provider.check(wish.base_model)
    [config] = await find_run_configs(store, task, [teacher])
    team = await open_evaluators(workspace, store, task_eval, evaluators)
    work: dict[MeasuredPart, RunWork] = {
        part: await plan_work(
            workspace, store, task_eval, team, RunRequest(evaluators, [config.id], part=part)
        )
        for part in _PARTS
        if part == "train" or task_eval.eval_record.part(part) is not None
    }
    plans = [plan for part_work in work.values() for plan in part_work.plans]
    items = len(work["train"].items)
    if items < provider.fewest_examples:
        raise Refusal(
            "Nothing was asked: {provider} takes {fewest} examples or more, and the part train of "
            "'{eval}' has {count} items.",
            provider=provider.title,
            fewest=provider.fewest_examples,
            eval=task_eval.eval_record.name,
            count=items,
            next=[NextStep(tool="generate_data", reason="make more inputs")],
        )
    calls = calls_of(plans)
    await workspace.check_ready(store, calls)
    place = "on this machine" if provider.is_local else f"at {provider.title}"
    price = "" if provider.is_local else ", at a price that is not known here"
    judges = ", ".join(m.evaluator_record.name for m in work["train"].measurements)
    summary = (
        f"Let {config.name} answer {items} inputs of train, keep what {judges} "
        f"pass{'es' if len(team.measurements) == 1 else ''} and no right answer of an item "
        f"contradicts, and train {wish.base_model} {place} on it{price}."
    )
    plan = await estimate_cost(workspace.engine, summary, calls, "evals")
    plan = replace(
        plan,
        highest_cost_usd=plan.highest_cost_usd if provider.is_local else None,
        destination=provider.address,
        is_long=True,
    )
    return Distillation(workspace, store, task, config, work, wish, provider), plan


async def carry_out_distillation(distillation: Distillation) -> DistilledModel:
    """Ask the teacher, keep what is verified as a frozen split, and train on it.

    Raises:
        Refusal: Too few outputs are verified, or the training failed.
    """
    parts: list[DistilledPart] = []
    contents: dict[str, tuple[str, ...]] = {}
    for part, work in distillation.work.items():
        if work.plans:
            await carry_out_together(distillation.workspace, work.plans)
        part_report, contents[part] = await _verified_part(distillation, part, work)
        parts.append(part_report)
    learnt, fewest = parts[0], distillation.provider.fewest_examples
    if learnt.verified_outputs < fewest:
        raise Refusal(
            "Nothing was trained: {verified} of {items} outputs of {teacher} are verified "
            "({contradicted} pass and contradict the item's right answer), and {provider} takes "
            "{fewest} or more. Let a better run config answer, or look at what its outputs fail.",
            verified=learnt.verified_outputs,
            items=learnt.items,
            contradicted=learnt.contradicted_outputs,
            teacher=distillation.teacher.name,
            provider=distillation.provider.title,
            fewest=fewest,
            next=[NextStep(tool="show_results", reason="see which outputs fail, and why")],
        )
    if len(contents.get("val", ())) < distillation.provider.limits.fewest_validation_examples:
        contents.pop("val", None)
    frozen = await _frozen_split(distillation, contents)
    data = FrozenData(distillation.store, distillation.task, frozen)
    model = await train(await draft_training(distillation.workspace, data, distillation.wish))
    return DistilledModel(
        teacher=distillation.teacher.name,
        frozen_split=frozen.name,
        parts=parts,
        model=model,
        next=model.next,
    )


async def _verified_part(
    distillation: Distillation, part: MeasuredPart, work: RunWork
) -> tuple[DistilledPart, tuple[str, ...]]:
    """Return a part's counts, and the ids of its verified outputs, one for each item.

    Evaluators that read the right answers compare by their own rules, so nothing is compared again.
    """
    teacher, items = distillation.teacher, [item.id for item in work.items]
    passing = set(items)
    for measurement in work.measurements:
        passing &= await _passing_items(measurement, teacher, passing)
    outputs = await work.measurements[0].outputs(teacher.id)
    first = {key.item_id: row for key, row in outputs.items() if key.sample == 0}
    passed = {item: first[item] for item in items if item in passing and item in first}
    agreement_by_item: dict[str, bool] = {}
    if not any(reads_right_answers(m.evaluator_record) for m in work.measurements):
        schema = output_schema(distillation.task)
        agreement_by_item = await agreements(distillation.store, work.items, passed, schema)
    run_ids = tuple(row.id for item, row in passed.items() if agreement_by_item.get(item, True))
    report = DistilledPart(
        part=part,
        items=len(items),
        verified_outputs=len(run_ids),
        compared_outputs=len(agreement_by_item),
        contradicted_outputs=len(passed) - len(run_ids),
    )
    return report, run_ids


async def _passing_items(
    measurement: Measurement, teacher: TaskRunConfig, items: set[str]
) -> set[str]:
    """Return the items whose output has each score of an eval, high enough on its scale."""
    outputs = await read_scored_outputs(measurement, [teacher])
    passing = set(items)
    for score in measurement.eval_record.output_scores:
        low, high = RATING_RANGES[score.type]
        means = outputs.means(teacher.id, score.json_key, frozenset(items))
        passing &= {i for i, mean in means.items() if (mean - low) / (high - low) >= LEAST_SHARE}
    return passing


async def _frozen_split(
    distillation: Distillation, contents: Mapping[str, tuple[str, ...]]
) -> DatasetSplit:
    """Save the verified outputs as a frozen split; an attempt after a kill finds it."""
    store, split_id = distillation.store, distillation.workspace.id_for("distilled split")
    for split in await store.children(distillation.task, DatasetSplit):
        if split.id == split_id:
            return split
    total = sum(map(len, contents.values()))
    record = DatasetSplit(
        id=split_id,
        name=f"{distillation.wish.name or distillation.wish.base_model} by "
        f"{distillation.teacher.name}",
        splits=tuple(
            SplitDefinition(name=part, percentage=len(ids) / total)
            for part, ids in contents.items()
        ),
        split_contents=dict(contents),
    )
    return await store.save(record, parent=distillation.task, is_patient=True)
