"""Capabilities: make projects and tasks, and say what is there."""

from pathlib import Path
from typing import Annotated

import anyio
from pydantic import Field, JsonValue

from kiln_mcp.jobs import Job
from kiln_mcp.projects.project_references import NameProblem, ProjectReference
from kiln_mcp.projects.task_schemas import schema_text
from kiln_mcp.workbench.capability import Effect, Result, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import Project, ProjectStore, Task
from storage.errors import NextStep, Refusal, WorkbenchError
from storage.records.names import folded_name

TaskName = Annotated[str, Field(description="What to call the task.")]
Instruction = Annotated[
    str,
    Field(
        min_length=1,
        description="What a model is told to do with an input: the task's system prompt.",
    ),
]
InputSchema = Annotated[
    dict[str, JsonValue] | None,
    Field(description="JSON Schema of an input; leave out for plain text."),
]
OutputSchema = Annotated[
    dict[str, JsonValue] | None,
    Field(description="JSON Schema of an output; leave out for plain text."),
]


class ProjectCreated(Result):
    """A new project."""

    project: str
    folder: str
    name_problem: NameProblem
    next: list[NextStep]


class TaskCreated(Result):
    """A new task."""

    project: str
    task: str
    id: str
    next: list[NextStep]


@capability(
    effect=Effect.WRITES,
    title="Create a project",
    search_hint="start something new, set up a workspace, begin testing my AI feature",
)
async def create_project(
    workspace: Workspace,
    name: Annotated[str, Field(description="What to call the project.")],
    folder: Annotated[
        str | None,
        Field(description="Where to put it; left out: 'Kiln Projects/<name>' in the home folder."),
    ] = None,
    description: Annotated[str | None, Field(description="What it is for.")] = None,
) -> ProjectCreated:
    """Create an empty project in Kiln's format, in a new or empty folder.

    Then call create_task.
    """
    place = anyio.Path(workspace.place(folder or f"~/Kiln Projects/{name}"))
    if await place.exists() and [entry async for entry in place.iterdir()]:
        raise Refusal(
            "{folder} is not empty. Choose another folder.",
            folder=place,
            next=[NextStep(tool="describe_project", reason="look at it, if it holds a project")],
        )
    store = await ProjectStore.create(
        Path(place), Project(name=name, description=description), home=workspace.settings.home
    )
    await store.close()
    store = await workspace.open_project(str(place))
    return ProjectCreated(
        project=store.project.name,
        folder=str(store.folder),
        name_problem=await workspace.projects.name_problem(store),
        next=[NextStep(tool="create_task", reason="say what a model is to do")],
    )


@capability(
    effect=Effect.WRITES,
    title="Create a task",
    search_hint="add a prompt or feature to test, system prompt, input and output format",
)
async def create_task(
    workspace: Workspace,
    project: ProjectReference,
    name: TaskName,
    instruction: Instruction,
    output_schema: OutputSchema = None,
    input_schema: InputSchema = None,
) -> TaskCreated:
    """Add a task to a project: what a model is told to do with each input."""
    store = await workspace.open_project(project)
    for task in await store.children(store.project, Task):
        if folded_name(task.name) == folded_name(name):
            raise Refusal(
                "There is a task '{name}' already, with the id {task_id}. Choose another name, or "
                "use that task.",
                name=task.name,
                task_id=task.id,
            )
    task = Task(
        name=name,
        instruction=instruction,
        output_json_schema=await schema_text("output", output_schema),
        input_json_schema=await schema_text("input", input_schema),
    )
    saved = await store.save(task, parent=store.project)
    return TaskCreated(
        project=store.project.name,
        task=saved.name,
        id=saved.id,
        next=[NextStep(tool="draft_spec", reason="say in one sentence what a good answer is")],
    )


async def jobs_set_aside(workspace: Workspace, store: ProjectStore) -> list[Job]:
    """Return the project's jobs that were killed several times."""
    try:
        jobs = await workspace.job_client.jobs_set_aside() if workspace.job_client else []
    except WorkbenchError:  # a project is described without its jobs, too
        return []
    names = {store.project.name, str(store.folder)}
    return [job for job in jobs if job.arguments.get("project") in names]
