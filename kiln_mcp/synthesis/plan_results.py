"""Save generated items, and say what came of their plan."""

from collections import Counter
from collections.abc import Mapping, Sequence

import anyio.to_thread

from kiln_mcp.datasets import lineage
from kiln_mcp.datasets.items import data_set
from kiln_mcp.synthesis.answers import GeneratedData
from kiln_mcp.synthesis.data_plan import DataPlan
from kiln_mcp.synthesis.generated_items import (
    GeneratedItem,
    coverage_by_outcome,
    coverage_by_topic,
)
from kiln_mcp.synthesis.generation import GenerationContext
from kiln_mcp.synthesis.plan_reports import warnings_of
from kiln_mcp.synthesis.plan_store import add_plan
from kiln_mcp.synthesis.report import FILE, DataReport, write_report
from kiln_mcp.synthesis.split_assignment import deal_step
from storage import Change, ProjectStore, Task, TaskRun
from storage.bulk_changes import BATCH
from storage.errors import NextStep, Refusal


async def save_items(
    context: GenerationContext,
    plan: DataPlan,
    items: Sequence[GeneratedItem],
    author: str,
    rejects: Mapping[str, int],
) -> GeneratedData:
    """Save the items of a plan, and the plan as carried out.

    Raises:
        Refusal: There is none.
    """
    store = context.store
    runs = [item.run for item in items if item.run is not None]
    earlier_turns = {item.run.id: item.earlier_turns for item in items if item.run is not None}
    failures = [item.reason for item in items if item.run is None]
    if not runs:
        raise _nothing_generated(failures)
    if context.config.origin is None and plan.outputs == "task":
        await store.save(context.config, parent=context.task, is_patient=True)
    fresh = [(*earlier_turns[run.id], run) for run in runs if run.id not in context.saved]
    done = plan.with_changes({"stage": "done", "session": context.session_tag})
    report = await save_runs(store, context.task, fresh, done, author)
    is_reference = plan.outputs == "reference"
    for_person = sum(lineage.PERSON_TAG in run.tags for run in runs)
    return GeneratedData(
        session=context.session_tag,
        plan=plan.id,
        items=len(runs),
        inputs_by="you" if plan.inputs else plan.writer,
        outputs_by=plan.reference_writer if is_reference else context.config.name,
        verified_items=sum(item.outcome is not None for item in items if item.run is not None),
        for_a_person=for_person,
        stops=dict(Counter(item.stop for item in items if item.stop)),
        by_outcome=coverage_by_outcome(plan, items),
        by_topic=coverage_by_topic(plan, items),
        rejected_inputs=sum(rejects.values()),
        reject_reasons={reason: count for reason, count in rejects.items() if count},
        failed=len(failures),
        failures=failures[:3],
        warnings=warnings_of(plan, context),
        distinct_pairs=report.distinct_pairs,
        nearest_similarity=report.nearest_similarity,
        report=FILE,
        next=[*_steps_of_outcomes(context, runs), deal_step(str(store.folder))],
    )


def _steps_of_outcomes(context: GenerationContext, runs: Sequence[TaskRun]) -> list[NextStep]:
    """Return who should look at which items: a person at what could not be verified."""
    tags = {tag for run in runs for tag in run.tags}
    arguments = {"project": str(context.store.folder)}
    steps: list[NextStep] = []
    if lineage.PERSON_TAG in tags:
        steps.append(
            NextStep(
                tool="mark_runs",
                reason=f"let the person decide on the items with the tag {lineage.PERSON_TAG}, "
                "whose checks disagree",
                arguments=arguments,
            )
        )
    if lineage.PAIR_TAG in tags:
        steps.append(
            NextStep(
                tool="label_items",
                reason=f"let a person label those with the tag {lineage.PAIR_TAG}: they are "
                "failing examples to measure judges with",
                arguments=arguments,
            )
        )
    return steps


def _nothing_generated(failures: Sequence[str]) -> Refusal:
    return Refusal(
        "No usable item was made, and nothing was saved.{reason} Try other examples or another "
        "model.",
        reason=f" The first failure: {failures[0]}" if failures else "",
        next=[NextStep(tool="add_data", reason="add your own items instead")],
    )


async def save_runs(
    store: ProjectStore,
    task: Task,
    chains: Sequence[Sequence[TaskRun]],
    plan: DataPlan,
    author: str,
) -> DataReport:
    """Save runs, a thousand in a transaction; with the last ones the data report and the plan.

    The turns of a conversation are saved together.

    Other writers are waited for: models were paid for the runs.

    Args:
        store: The open project.
        task: What they are saved below.
        chains: The runs, those of one conversation together.
        plan: The plan, as carried out.
        author: Who carried it out.
    """
    existing = await store.children(task, TaskRun)
    *batches, last_batch = _batches(chains)
    for batch in batches:
        async with store.transaction(is_patient=True) as change:
            await anyio.to_thread.run_sync(_save_below, change, batch, task)
    async with store.transaction(is_patient=True) as change:
        await anyio.to_thread.run_sync(_save_below, change, last_batch, task)
        await anyio.to_thread.run_sync(add_plan, change, task, plan, author)
        every_run = [*existing, *(run for chain in chains for run in chain)]
        return await write_report(change, task, data_set(every_run))


def _batches(chains: Sequence[Sequence[TaskRun]]) -> list[list[TaskRun]]:
    """Return runs in batches of a thousand or a few more, which cut no conversation."""
    batches: list[list[TaskRun]] = [[]]
    for chain in chains:
        if len(batches[-1]) >= BATCH:
            batches.append([])
        batches[-1] += chain
    return batches


def _save_below(change: Change, runs: Sequence[TaskRun], task: Task) -> None:
    for run in runs:
        change.save(run, parent=task)
