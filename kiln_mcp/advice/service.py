"""Capabilities: describe a project."""

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field

from kiln_mcp.advice.counts import take_inventory
from kiln_mcp.advice.inventory import next_step, weaknesses
from kiln_mcp.projects.references import NameProblem, ProjectReference, unreadable_task
from kiln_mcp.projects.service import jobs_set_aside
from kiln_mcp.projects.sharing.service import OpenQuestion, faults_said, open_questions
from kiln_mcp.workbench.capability import Effect, Result, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import Eval, Prompt, RecordProblem, Spec, Task, TaskRunConfig
from storage.sharing.sync import Sharing

MOST_NAMES: Final = 10


class EvalDescription(Result):
    """What there is of one eval."""

    name: str
    judges: int
    test_items: int
    golden_items: int
    rated_golden: int
    results: int


class TaskDescription(Result):
    """What there is of one task."""

    name: str
    id: str
    runs: int
    specs: int
    run_configs: int
    prompts: int
    spec_names: list[str] = Field(description="The first ten; so are the next two.")
    run_config_names: list[str]
    prompt_names: list[str]
    evals: list[EvalDescription]
    weak: list[str]
    next_step: str


class ProjectDescription(Result):
    """What is there, what is weak, and the best next step."""

    project: str
    folder: str
    name_problem: NameProblem
    description: str | None
    tasks: list[TaskDescription]
    unreadable: list[str] = Field(
        description="Files that cannot be used, and why; all else works without them."
    )
    repeated: list[str] = Field(
        description="Records whose id another one has, such as copies made in a file manager."
    )
    to_decide: list[OpenQuestion] = Field(description="Two people's values: decide_question.")
    jobs_set_aside: list[str] = Field(
        description="Jobs whose process was killed again and again; they wait for the person."
    )
    next_step: str | None


@capability(effect=Effect.READS, title="Describe a project")
async def describe_project(
    workspace: Workspace,
    project: ProjectReference,
    most_faults: Annotated[
        int, Field(ge=1, description="The most unreadable files and repeated records named.")
    ] = MOST_NAMES,
) -> ProjectDescription:
    """Say what a project holds, what is weak about it, and the best next step.

    Start here with a project that exists.
    """
    store = await workspace.open_project(project)
    tasks: list[TaskDescription] = []
    damaged: list[RecordProblem] = []
    for task in await store.children(store.project, Task):
        found = await take_inventory(store, task)
        tasks.append(
            TaskDescription(
                name=task.name,
                id=task.id,
                runs=found.runs,
                specs=found.specs,
                run_configs=found.run_configs,
                prompts=found.prompts,
                spec_names=first_names(await store.children(task, Spec)),
                run_config_names=first_names(await store.children(task, TaskRunConfig)),
                prompt_names=first_names(await store.children(task, Prompt)),
                evals=[
                    EvalDescription(
                        name=one.name,
                        judges=one.judges,
                        test_items=one.test_items,
                        golden_items=one.golden_items,
                        rated_golden=one.rated,
                        results=one.results,
                    )
                    for one in found.evals
                ],
                weak=weaknesses(found),
                next_step=next_step(found),
            )
        )
        for measured in await store.children(task, Eval):
            damaged += await store.damaged_side_files(measured)
    broken = None if tasks else await unreadable_task(store)
    first_step = (
        f"No task can be read. In {store.folder}: {broken}"
        if broken
        else "create_task: say what a model is to do."
    )
    return ProjectDescription(
        project=store.project.name,
        folder=str(store.folder),
        name_problem=await workspace.known.name_problem(store),
        description=store.project.description,
        tasks=tasks,
        unreadable=faults_said([*await store.unreadable(), *damaged], most_faults),
        repeated=faults_said(await store.repeated(), most_faults),
        jobs_set_aside=await jobs_set_aside(workspace, store),
        to_decide=open_questions(await Sharing(store).conflicts()),
        next_step=None if tasks else first_step,
    )


def first_names(records: Sequence[Spec] | Sequence[TaskRunConfig] | Sequence[Prompt]) -> list[str]:
    """Return the names of the first ten records, and how many more there are."""
    names = [record.name for record in records[:MOST_NAMES]]
    more = len(records) - len(names)
    return [*names, f"… and {more} more"] if more else names
