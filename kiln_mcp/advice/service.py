"""Capabilities: describe a project, its weaknesses and the next steps."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import anyio
from pydantic import Field, JsonValue

from kiln_mcp.advice.answers import EvalDescription, ProjectDescription, TaskDescription
from kiln_mcp.advice.inventory import next_steps, weaknesses
from kiln_mcp.advice.task_counts import take_inventory
from kiln_mcp.approvals.plan import Plan
from kiln_mcp.jobs import Job
from kiln_mcp.projects.collaboration.copies import copies_said
from kiln_mcp.projects.collaboration.service import faults_said, open_conflicts
from kiln_mcp.projects.project_references import (
    ProjectReference,
    handle_of,
    unreadable_task,
)
from kiln_mcp.projects.service import jobs_set_aside
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage import Eval, ProjectStore, Prompt, RecordProblem, Spec, Task, TaskRunConfig
from storage.collaboration.sync import Sharing
from storage.conflict_copies import ConflictCopy
from storage.errors import NextStep, WorkbenchError
from storage.text.excerpts import with_remainder

MOST_NAMES: Final = 10
ESTIMATE_S: Final = 1.0
"""Seconds that the estimate of a step may take; a step whose estimate takes longer has none."""
MOST_TASKS: Final = 3
MOST_EVALS: Final = 5
"""The most tasks, and evals of each, that a short answer describes."""


@capability(
    effect=Effect.READS,
    title="Describe a project",
    discovery=Discovery(
        Heading.PROJECTS,
        "status, overview, summary, summarise, progress, state, health, stand, recap, catch up, "
        "getting started, next steps, todo, plan, recommend, suggestions, advice, help, guide, "
        "problems, weaknesses, gaps, missing, lacking, before release or shipping, ready to ship, "
        "how far along, opened project, how are we doing, going, where to go from here, where "
        "were we, stuck, not sure, lost, come back, today, session, everything, biggest issue, "
        "risks, worry, tell me about, explain this project, forgot, forgotten something, is my "
        "setup any good, what state is it in, improve next, checklist, how complete, coverage, "
        "remind, left off, improve first",
        always_load=True,
    ),
)
async def describe_project(
    workspace: Workspace,
    project: ProjectReference,
    most_faults: Annotated[int, Field(ge=1, description="To list of each kind.")] = MOST_NAMES,
) -> ProjectDescription:
    """See where a project stands: what it holds, what is weak or missing, and what to do next.

    Start here with a project that exists.
    """
    store = await workspace.open_project(project)
    tasks: list[TaskDescription] = []
    side_faults: list[RecordProblem] = []
    is_short = workspace.answer_tokens is not None
    all_tasks = await store.children(store.project, Task)
    shown_tasks = await _largest(store, all_tasks) if is_short else all_tasks
    for task in all_tasks:
        if task in shown_tasks:
            description = await _describe_task(
                store,
                task,
                workspace.settings.home,
                is_short=is_short,
                is_only=len(all_tasks) == 1,
            )
            tasks.append(await _with_cost(workspace, store, description))
        for record in await store.children(task, Eval):
            side_faults += await store.damaged_side_files(record)
    task_fault = None if tasks else await unreadable_task(store)
    jobs = await jobs_set_aside(workspace, store)
    copies = await store.copies()
    return ProjectDescription(
        project=store.project.name,
        folder=str(store.folder),
        name_problem=await workspace.projects.name_problem(store),
        description=store.project.description,
        tasks=tasks,
        further_tasks=first_names([task for task in all_tasks if task not in shown_tasks]),
        unreadable=faults_said([*await store.unreadable(), *side_faults], most_faults),
        duplicate_ids=faults_said(await store.duplicates(), most_faults),
        copies=copies_said(copies, most_faults),
        jobs_set_aside=[f"{job.id} ({job.capability}): {job.error}" for job in jobs],
        conflicts=open_conflicts(await Sharing(store).conflicts()),
        message=f"No task can be read. In {store.folder}: {task_fault}" if task_fault else None,
        next=[
            *([] if tasks or task_fault else [_create_task(store)]),
            *map(_resume, jobs),
            *map(_settle, copies[:1]),
        ],
    )


async def _with_cost(
    workspace: Workspace, store: ProjectStore, task: TaskDescription
) -> TaskDescription:
    """Return a task whose first step says what it costs, if that can be known without paying."""
    if not task.next:
        return task
    step, *later_steps = task.next
    arguments = {"project": str(store.folder), "task": task.handle, **(step.arguments or {})}
    plan = None
    with anyio.move_on_after(ESTIMATE_S), suppress(WorkbenchError):
        plan = await workspace.estimate(workspace, step.tool, arguments)
    if plan is None:
        return task
    priced_step = step.model_copy(update={"reason": f"{step.reason} ({_cost_words(plan)})"})
    return task.model_copy(update={"next": [priced_step, *later_steps]})


def _cost_words(plan: Plan) -> str:
    calls = "1 model call" if plan.calls == 1 else f"{plan.calls} model calls"
    if plan.highest_cost_usd is None:
        return f"about {calls}, price not known"
    return f"about {calls}, ${plan.likely_cost_usd or 0:.2f} to ${plan.highest_cost_usd:.2f}"


def _with_task(step: NextStep, handle: str) -> NextStep:
    """Return a step that names its task, unless what it is about belongs to one."""
    arguments = step.arguments or {}
    if arguments.keys() & {"eval", "session"}:
        return step
    return step.model_copy(update={"arguments": {"task": handle, **arguments}})


def _create_task(store: ProjectStore) -> NextStep:
    reason = "describe the work of a model, as `task` and `instruction`"
    arguments: dict[str, JsonValue] = {"project": str(store.folder)}
    return NextStep(tool="create_project", reason=reason, arguments=arguments)


def _settle(copy: ConflictCopy) -> NextStep:
    reason = "merge or discard the conflict copy, as the person wants it"
    return NextStep(tool="settle_copy", reason=reason, arguments={"path": copy.path})


def _resume(job: Job) -> NextStep:
    reason = "continue the job that was set aside, if the person wants it"
    return NextStep(tool="resume_job", reason=reason, arguments={"job": job.id})


async def _largest(store: ProjectStore, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks that have the most evals and runs."""
    counts = {task.id: await store.counts(task) for task in tasks}

    def size(task: Task) -> tuple[int, int]:
        return counts[task.id].get("eval", 0), counts[task.id].get("task_run", 0)

    return sorted(tasks, key=size, reverse=True)[:MOST_TASKS]


async def _describe_task(
    store: ProjectStore, task: Task, home: Path, *, is_short: bool, is_only: bool
) -> TaskDescription:
    inventory = await take_inventory(store, task, home)
    handle = await handle_of(store, task)
    by_results = sorted(inventory.evals, key=lambda counts: counts.results, reverse=True)
    shown_evals = by_results[:MOST_EVALS] if is_short else inventory.evals
    faults = weaknesses(inventory)
    return TaskDescription(
        name=task.name,
        id=task.id,
        handle=handle,
        runs=inventory.runs,
        inputs=inventory.inputs,
        specs=inventory.specs,
        run_configs=inventory.run_configs,
        prompts=inventory.prompts,
        spec_names=first_names(await store.children(task, Spec)),
        run_config_names=first_names(await store.children(task, TaskRunConfig)),
        prompt_names=first_names(await store.children(task, Prompt)),
        evals=[
            EvalDescription(
                name=counts.name,
                evaluators=counts.evaluators,
                test_items=counts.test_items,
                golden_items=counts.golden_items,
                rated_items=counts.rated_items,
                results=counts.results,
            )
            for counts in shown_evals
        ],
        further_evals=len(inventory.evals) - len(shown_evals) or None,
        weaknesses=with_remainder(faults[:MOST_NAMES], len(faults)) if is_short else faults,
        next=[step if is_only else _with_task(step, handle) for step in next_steps(inventory)],
    )


def first_names(
    records: Sequence[Spec] | Sequence[TaskRunConfig] | Sequence[Prompt] | Sequence[Task],
) -> list[str]:
    """Return the names of the first ten records, and the number of the others."""
    return with_remainder([record.name for record in records[:MOST_NAMES]], len(records))
