"""Save generated items, and say what came of their plan."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import anyio.to_thread

from kiln_mcp.datasets import lineage
from kiln_mcp.datasets.counts import SESSION_TAG
from kiln_mcp.datasets.items import data_set
from kiln_mcp.datasets.summaries import summary_of
from kiln_mcp.synthesis.answers import GeneratedData
from kiln_mcp.synthesis.conversations import CASE_TAG, ENDED_TAG
from kiln_mcp.synthesis.coverage_plan import Slot
from kiln_mcp.synthesis.data_plan import DataPlan
from kiln_mcp.synthesis.difficulties import difficulty_rows
from kiln_mcp.synthesis.generated_items import (
    GeneratedItem,
    coverage_by_outcome,
    coverage_by_topic,
)
from kiln_mcp.synthesis.generation import GenerationContext
from kiln_mcp.synthesis.plan_reports import source_notes, warnings_of
from kiln_mcp.synthesis.plan_store import DraftLine, add_drafts, add_plan
from kiln_mcp.synthesis.report import FILE, DataReport, write_report
from kiln_mcp.synthesis.split_assignment import deal_step
from storage import Change, ProjectStore, Task, TaskRun
from storage.bulk_changes import BATCH
from storage.errors import NextStep, Refusal


@dataclass(frozen=True, slots=True)
class Saving:
    """What is saved with the items of a plan.

    Attributes:
        context: What the project has.
        plan: The plan.
        slots: The slots that were to be filled.
        drafts: The drafts of its inputs, by slot.
        author: Who carried it out.
    """

    context: GenerationContext
    plan: DataPlan
    slots: Sequence[Slot]
    drafts: Mapping[int, DraftLine]
    author: str


@dataclass(frozen=True, slots=True)
class NewRuns:
    """The runs of a plan that are to be saved.

    Attributes:
        plan: The plan, as carried out.
        author: Who carried it out.
        chains: The runs, those of one conversation together.
        drafts: The drafts that they were made of.
        predecessors: The ids of items that go to the trash.
    """

    plan: DataPlan
    author: str
    chains: Sequence[Sequence[TaskRun]]
    drafts: Sequence[DraftLine] = ()
    predecessors: Collection[str] = ()


async def save_items(
    saving: Saving, items: Sequence[GeneratedItem], rejects: Mapping[str, int]
) -> GeneratedData:
    """Save the items of a plan, and the plan as carried out.

    Items that were made again take the place of their predecessors, which go to the trash.

    Raises:
        Refusal: There is none.
    """
    context, plan = saving.context, saving.plan
    store = context.store
    items = [_in_place_of_another(item, context) for item in items]
    runs = [item.run for item in items if item.run is not None]
    earlier_turns = {item.run.id: item.earlier_turns for item in items if item.run is not None}
    failures = [item.reason for item in items if item.run is None]
    if not runs:
        raise _nothing_generated(failures)
    if context.config.origin is None and plan.outputs == "task":
        await store.save(context.config, parent=context.task, is_patient=True)
    fresh = [(*earlier_turns[run.id], run) for run in runs if run.id not in context.saved]
    done = plan.with_changes({"stage": "done", "session": context.session_tag})
    predecessors = {item.planned_input.replaces for item in items if item.run is not None} - {""}
    new = NewRuns(done, saving.author, fresh, _made_drafts(saving, items), predecessors)
    unchanged_count = sum(_is_as_before(item, context) for item in items)
    report = await save_runs(store, context.task, new)
    is_reference = plan.outputs == "reference"
    for_person = sum(lineage.PERSON_TAG in run.tags for run in runs)
    return GeneratedData(
        session=context.session_tag,
        plan=plan.id,
        items=len(runs),
        replaced_items=len(predecessors),
        unchanged_items=unchanged_count,
        inputs_by="you" if plan.inputs else plan.writer,
        outputs_by=plan.reference_writer if is_reference else context.config.name,
        verified_items=sum(item.outcome is not None for item in items if item.run is not None),
        for_a_person=for_person,
        stops=dict(Counter(item.stop for item in items if item.stop)),
        by_outcome=coverage_by_outcome(plan, saving.slots, items),
        by_topic=coverage_by_topic(saving.slots, items),
        difficulties=difficulty_rows([*map(summary_of, runs)]),
        rejected_inputs=sum(rejects.values()),
        reject_reasons={reason: count for reason, count in rejects.items() if count},
        failed=len(failures),
        failures=failures[:3],
        warnings=[
            *_unchanged_warning(unchanged_count),
            *_standing_warning(items, context),
            *source_notes(plan),
            *warnings_of(plan, context),
        ],
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


def _in_place_of_another(item: GeneratedItem, context: GenerationContext) -> GeneratedItem:
    """Return an item with the tags of the one that it replaces, so that it stays in its part."""
    earlier = _predecessor(item, context)
    if item.run is None or earlier is None:
        return item
    tags = [tag for tag in earlier.tags if not _says_how_it_was_made(tag)]
    return replace(item, run=item.run.replace(tags=tuple(dict.fromkeys([*item.run.tags, *tags]))))


def _predecessor(item: GeneratedItem, context: GenerationContext) -> TaskRun | None:
    name = item.planned_input.replaces
    return next((run for run in context.existing if name and run.id == name), None)


def _is_as_before(item: GeneratedItem, context: GenerationContext) -> bool:
    """Return whether an item says the same as the one that it replaces."""
    earlier = _predecessor(item, context)
    if earlier is None or item.run is None:
        return False
    return (earlier.input, earlier.output.output) == (item.run.input, item.run.output.output)


def _unchanged_warning(count: int) -> list[str]:
    if not count:
        return []
    return [
        f"Made again and the same as before: {count}. A model that is asked at temperature 0 "
        "answers alike: change the input, its note or the run config, or correct the output."
    ]


def _standing_warning(items: Sequence[GeneratedItem], context: GenerationContext) -> list[str]:
    slots = [
        item.planned_input.slot.number
        for item in items
        if item.planned_input.slot and not item.run and _standing_item(item, context)
    ]
    if not slots:
        return []
    numbers = ", ".join(map(str, slots))
    return [f"Not made again, so that the earlier outputs stand: the drafts {numbers}."]


def _says_how_it_was_made(tag: str) -> bool:
    return tag.startswith((SESSION_TAG, CASE_TAG, ENDED_TAG)) or tag in {
        lineage.PAIR_TAG,
        lineage.REFERENCE_TAG,
        lineage.PERSON_TAG,
    }


def _made_drafts(saving: Saving, items: Sequence[GeneratedItem]) -> list[DraftLine]:
    """Return the drafts of items that stand, so that a person may have them made again.

    If an output was not made again, the earlier item stands.
    """
    at = datetime.now(UTC)
    lines: list[DraftLine] = []
    for item in items:
        slot = item.planned_input.slot
        run = item.run or _standing_item(item, saving.context)
        if run is not None and slot is not None:
            change = {"at": at, "by": saving.author, "state": "made", "item": run.id}
            lines.append(saving.drafts[slot.number].model_copy(update=change))
    return lines


def _standing_item(item: GeneratedItem, context: GenerationContext) -> TaskRun | None:
    """Return the earlier item of an output that was not made again; None if its input changed."""
    earlier = _predecessor(item, context)
    if earlier is None or earlier.input != item.planned_input.task_input.text:
        return None
    return earlier


async def save_runs(store: ProjectStore, task: Task, new: NewRuns) -> DataReport:
    """Save runs, a thousand in a transaction; with the last ones the data report and the plan.

    The turns of a conversation are saved together. Other writers are waited for: models were paid
    for the runs.
    """
    existing = await store.children(task, TaskRun)
    *batches, last_batch = _batches(new.chains)
    for batch in batches:
        async with store.transaction(is_patient=True) as change:
            await anyio.to_thread.run_sync(_save_below, change, batch, task)
    async with store.transaction(is_patient=True) as change:
        await anyio.to_thread.run_sync(_save_below, change, last_batch, task)
        await anyio.to_thread.run_sync(add_plan, change, task, new.plan, new.author)
        await anyio.to_thread.run_sync(add_drafts, change, task, new.drafts)
        predecessors = _with_earlier_turns(existing, new.predecessors)
        for run in predecessors:
            change.delete(run)
        predecessor_ids = {run.id for run in predecessors}
        every_run = [run for run in existing if run.id not in predecessor_ids]
        every_run += [run for chain in new.chains for run in chain]
        return await write_report(change, task, data_set(every_run))


def _batches(chains: Sequence[Sequence[TaskRun]]) -> list[list[TaskRun]]:
    """Return runs in batches of a thousand or a few more, which cut no conversation."""
    batches: list[list[TaskRun]] = [[]]
    for chain in chains:
        if len(batches[-1]) >= BATCH:
            batches.append([])
        batches[-1] += chain
    return batches


def _with_earlier_turns(runs: Sequence[TaskRun], items: Collection[str]) -> list[TaskRun]:
    """Return the runs of some items: those of conversations with all their turns."""
    by_id = {run.id: run for run in runs}
    runs_by_id: dict[str, TaskRun] = {}
    for name in items:
        run = by_id.get(name)
        while run is not None and run.id not in runs_by_id:
            runs_by_id[run.id] = run
            run = by_id.get(run.parent_task_run_id or "")
    return list(runs_by_id.values())


def _save_below(change: Change, runs: Sequence[TaskRun], task: Task) -> None:
    for run in runs:
        change.save(run, parent=task)
