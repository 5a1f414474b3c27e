"""Capabilities: make projects and tasks, and say what is there."""

from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Literal

import anyio
from pydantic import Field, JsonValue

from kiln_mcp.jobs import Job
from kiln_mcp.projects.project_references import (
    NameProblem,
    ProjectReference,
    TaskReference,
    handle_of,
    task_of,
)
from kiln_mcp.projects.schema_changes import (
    MISFIT_TAG,
    Misfits,
    checked_items,
    task_with_new_schemas,
)
from kiln_mcp.projects.task_schemas import schema_text
from kiln_mcp.workbench.capability import Effect, Result, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import Project, ProjectStore, Task
from storage.errors import InvalidValue, NextStep, Refusal, WorkbenchError
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


Part = Literal["input", "output"]


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
    handle: str = Field(description="What names it in calls, such as `task/answer`.")
    next: list[NextStep]


class TaskChanged(Result):
    """What became of a change to a task."""

    task: str
    is_changed: bool
    checked_items: int = Field(description="Items that were checked against the new schemas.")
    misfit_count: int = Field(description="Items that do not fit them.")
    misfits: list[str] = Field(description="The first of these, with the reason.")
    message: str
    next: list[NextStep] = Field(default=[], description="Calls that help now.")


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
                "There is a task '{name}' already: {handle}. Choose another name, or use "
                "that task.",
                name=task.name,
                handle=await handle_of(store, task),
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
        handle=await handle_of(store, saved),
        next=[NextStep(tool="draft_spec", reason="say in one sentence what a good answer is")],
    )


@capability(
    effect=Effect.WRITES,
    title="Change a task",
    search_hint="edit the instruction, system prompt or output format of a feature, rename",
)
async def change_task(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    instruction: Annotated[str | None, Field(min_length=1, description="The new one.")] = None,
    output_schema: Annotated[
        dict[str, JsonValue] | None, Field(description="The new JSON Schema of an output.")
    ] = None,
    input_schema: Annotated[
        dict[str, JsonValue] | None, Field(description="The new JSON Schema of an input.")
    ] = None,
    plain_text: Annotated[
        list[Part] | None, Field(description="What has no schema from now on.")
    ] = None,
    misfits: Annotated[
        Literal["refuse", "tag"],
        Field(
            description="What to do if items do not fit: name them and change nothing, or change "
            "the task and tag them with does_not_fit_schema."
        ),
    ] = "refuse",
) -> TaskChanged:
    """Change a task's instruction or the schemas of its inputs and outputs.

    Items that do not fit a new schema are named before anything is changed.
    """
    store = await workspace.open_project(project)
    owner = await task_of(store, task)
    schemas: dict[Part, dict[str, JsonValue] | None] = {
        "output": output_schema,
        "input": input_schema,
    }
    changes: dict[str, str | None] = {} if instruction is None else {"instruction": instruction}
    for part, schema in schemas.items():
        is_plain = part in (plain_text or ())
        if is_plain and schema is not None:
            raise InvalidValue(
                "Nothing was changed: {part} is in `plain_text` and has a schema as well. Give one "
                "of both.",
                part=part,
            )
        if is_plain or schema is not None:
            changes[f"{part}_json_schema"] = await schema_text(part, schema)
    if not changes:
        raise InvalidValue(
            "Nothing was changed. Give a new `instruction`, `output_schema` or `input_schema`, or "
            "name a part in `plain_text`."
        )
    return await _change_task(workspace, store, owner, changes, tags_misfits=misfits == "tag")


async def _change_task(
    workspace: Workspace,
    store: ProjectStore,
    task: Task,
    changes: dict[str, str | None],
    *,
    tags_misfits: bool,
) -> TaskChanged:
    """Check the items, change the task, and tag the items that do not fit."""
    changed = task.replace(**changes)
    view = task_with_new_schemas(task, changed)
    misfits, item_count = Misfits(), 0
    if view is not None:
        async with aclosing(checked_items(store, task, view)) as batches:
            async for batch in batches:
                item_count += batch.count
                misfits.add(batch.faults)
                await workspace.report(item_count, None, f"{item_count} items checked")
    is_changed = tags_misfits or misfits.count == 0
    if is_changed:
        await store.save(changed)
        await misfits.tag(store)
    return TaskChanged(
        task=task.name,
        is_changed=is_changed,
        checked_items=item_count,
        misfit_count=misfits.count,
        misfits=misfits.names,
        message=_change_message(misfits.count, is_changed=is_changed),
        next=_steps_after_change(store, misfits.count, is_changed=is_changed),
    )


def _change_message(misfit_count: int, *, is_changed: bool) -> str:
    if not is_changed:
        return (
            f"Nothing was changed: {misfit_count} items do not fit the new schemas. Repair or "
            "delete them, or call again with misfits=tag to keep them under a tag."
        )
    tag_note = f" {misfit_count} items have the tag {MISFIT_TAG}." if misfit_count else ""
    return f"The task was changed. Results of earlier outputs stay as they were.{tag_note}"


def _steps_after_change(
    store: ProjectStore, misfit_count: int, *, is_changed: bool
) -> list[NextStep]:
    if not misfit_count:
        return []
    project = str(store.folder)
    if is_changed:
        arguments: dict[str, JsonValue] = {"project": project, "filter": f"tag::{MISFIT_TAG}"}
        return [NextStep(tool="find_runs", reason="see them", arguments=arguments)]
    return [NextStep(tool="repair_run", reason="give a run an output that fits")]


async def jobs_set_aside(workspace: Workspace, store: ProjectStore) -> list[Job]:
    """Return the project's jobs that were killed several times."""
    try:
        jobs = await workspace.job_client.jobs_set_aside() if workspace.job_client else []
    except WorkbenchError:  # a project is described without its jobs, too
        return []
    names = {store.project.name, str(store.folder)}
    return [job for job in jobs if job.arguments.get("project") in names]
