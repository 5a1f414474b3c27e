"""Capabilities: create projects, copies and tasks, and change tasks."""

from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import anyio
from pydantic import Field, JsonValue

from kiln_mcp.approvals.plan import Plan
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
    remove_tags_of_fitting_items,
    task_with_new_schemas,
)
from kiln_mcp.projects.task_schemas import schema_text
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Result,
    Toolset,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage import Project, ProjectStore, Task, exchange
from storage.errors import InvalidValue, NextStep, Refusal, WorkbenchError
from storage.git.safety import check_address
from storage.records.names import folded_name

Part = Literal["input", "output"]


class ProjectCreated(Result):
    """A new project or copy, or a project with a new task."""

    project: str
    folder: str
    name_problem: NameProblem
    task: str | None = Field(default=None, description="The new task.")
    task_id: str | None = None
    handle: str | None = Field(
        default=None, description="What names the task in calls, such as `task/answer`."
    )
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


@dataclass(frozen=True, slots=True)
class _NewTask:
    """A task that is to be created."""

    name: str
    instruction: str
    input_schema: dict[str, JsonValue] | None
    output_schema: dict[str, JsonValue] | None

    async def save_in(self, store: ProjectStore) -> Task:
        """Save it in a project.

        Raises:
            Refusal: The project has a task of this name.
        """
        for task in await store.children(store.project, Task):
            if folded_name(task.name) == folded_name(self.name):
                raise Refusal(
                    "There is a task '{name}' already: {handle}. Choose another name, or use that "
                    "task.",
                    name=task.name,
                    handle=await handle_of(store, task),
                )
        task = Task(
            name=self.name,
            instruction=self.instruction,
            output_json_schema=await schema_text("output", self.output_schema),
            input_json_schema=await schema_text("input", self.input_schema),
        )
        return await store.save(task, parent=store.project)


@capability(
    effect=Effect.WRITES,
    title="Create a project",
    discovery=Discovery(
        Heading.PROJECTS,
        "new, begin, set up, setup, create, initialise, from scratch, workspace, chatbot, bot, "
        "assistant, agent, classifier, summariser, extractor, app, use case, product, another or "
        "second task, system prompt, open, clone, copy, bring in, unpack, unzip, archive, zip, "
        "tar, folder, git or GitHub repository, launch, launching, building, idea, recommender, "
        "translator, Kiln project, existing, on my disk, example project, use here, empty, blank, "
        "under test, from last year, write job ads, we want to build",
        alternatives=("name", "project", "copy_from"),
    ),
)
async def create_project(
    workspace: Workspace,
    name: Annotated[str | None, Field(description="Of the new project.")] = None,
    folder: Annotated[
        str | None,
        Field(description="Left out: 'Kiln Projects/<name>' at home."),
    ] = None,
    description: str | None = None,
    task: Annotated[str | None, Field(description="Its name; left out: the project's.")] = None,
    instruction: Annotated[
        str | None,
        Field(
            min_length=1,
            description="The task's system prompt.",
        ),
    ] = None,
    input_schema: Annotated[
        dict[str, JsonValue] | None,
        Field(description="JSON Schema; left out: text."),
    ] = None,
    output_schema: Annotated[
        dict[str, JsonValue] | None,
        Field(description="JSON Schema; left out: text."),
    ] = None,
    project: Annotated[
        str | None, Field(description="One that exists, to add a task to it.")
    ] = None,
    copy_from: Annotated[
        str | None,
        Field(
            description="Copy this folder, zip, tar or git repository. `name` chooses one of "
            "several projects in it."
        ),
    ] = None,
) -> Proposal[ProjectCreated]:
    """Start a project for an AI feature with its task, add a task, or import a project."""
    if copy_from is not None:
        return _propose_copy(workspace, copy_from, folder, name)
    task_name = task or name
    if project is not None and not (task_name and instruction):
        raise InvalidValue(
            "Nothing was created: a task of a project needs a name as `task`, and an `instruction`."
        )
    if project is None and name is None:
        raise InvalidValue(
            "Nothing was created. Give the new project a `name`; or a task to a `project` that "
            "exists; or a project to copy as `copy_from`."
        )
    if instruction is None and (task is not None or input_schema or output_schema):
        raise InvalidValue("Nothing was created: a task needs an `instruction`.")
    new_task = (
        None
        if instruction is None
        else _NewTask(task_name or "", instruction, input_schema, output_schema)
    )

    async def create() -> ProjectCreated:
        if project is not None:
            store = await workspace.open_project(project)
        else:
            store = await _create_project(workspace, name or "", folder, description)
        saved = None if new_task is None else await new_task.save_in(store)
        return await _project_created(workspace, store, saved)

    subject = f"the task {task_name!r}" if project is not None else f"the project {name!r}"
    return Proposal(Plan(f"Create {subject}."), create)


def _propose_copy(
    workspace: Workspace, source: str, folder: str | None, name: str | None
) -> Proposal[ProjectCreated]:
    is_address = exchange.is_address(source)
    if is_address:
        check_address(source)
    origin = source if is_address else str(workspace.place(source))
    target = _place_of(workspace, folder, name or _stem(source))
    plan = Plan(f"Import a project into {target}.", destination=source if is_address else "")

    async def copy() -> ProjectCreated:
        place = await exchange.receive_project(origin, target, name=name)
        return await _project_created(workspace, await workspace.open_project(str(place)), None)

    return Proposal(plan, copy)


def _stem(source: str) -> str:
    """Return a name for the copy of a folder, archive or repository."""
    name = source.rstrip("/").rpartition("/")[2].partition(".")[0]
    return name or "Copy"


def _place_of(workspace: Workspace, folder: str | None, name: str) -> Path:
    return workspace.place(folder or f"~/Kiln Projects/{name}")


async def _create_project(
    workspace: Workspace, name: str, folder: str | None, description: str | None
) -> ProjectStore:
    """Create an empty project and open it.

    Raises:
        Refusal: The folder is not empty.
    """
    place = anyio.Path(_place_of(workspace, folder, name))
    if await place.exists() and [entry async for entry in place.iterdir()]:
        raise Refusal(
            "{folder} is not empty. Choose another folder.",
            folder=place,
            next=[
                NextStep(
                    tool="describe_project",
                    reason="look at it, if it holds a project",
                    arguments={"project": str(place)},
                )
            ],
        )
    store = await ProjectStore.create(
        Path(place), Project(name=name, description=description), home=workspace.settings.home
    )
    await store.close()
    return await workspace.open_project(str(place))


async def _project_created(
    workspace: Workspace, store: ProjectStore, task: Task | None
) -> ProjectCreated:
    return ProjectCreated(
        project=store.project.name,
        folder=str(store.folder),
        name_problem=await workspace.projects.name_problem(store),
        task=task.name if task else None,
        task_id=task.id if task else None,
        handle=await handle_of(store, task) if task else None,
        next=[await _step_after_creation(store, task)],
    )


async def _step_after_creation(store: ProjectStore, task: Task | None) -> NextStep:
    arguments: dict[str, JsonValue] = {"project": str(store.folder)}
    tasks = await store.children(store.project, Task)
    if task is not None:
        reason = "say in one sentence as `wish` what a good answer is"
        if len(tasks) > 1:
            arguments["task"] = await handle_of(store, task)
        return NextStep(tool="build_spec", reason=reason, arguments=arguments)
    if tasks:
        return NextStep(tool="describe_project", reason="see what is there", arguments=arguments)
    reason = "say what a model is to do, as `task` and `instruction`"
    return NextStep(tool="create_project", reason=reason, arguments=arguments)


@capability(
    effect=Effect.WRITES,
    title="Change a task",
    discovery=Discovery(
        Heading.PROJECTS,
        "update, modify, revise, adjust, rename, system message, description, output format, "
        "response format, structured output, JSON schema, input fields, add or remove a field, "
        "column, key, enum, property called, now contains, feature changed, make it answer in "
        "JSON, always, also, from now on, cite, confidence, category, number, optional, required, "
        "current instruction, prompt text, task name, wording of the instruction, task "
        "definition, outdated, model returns, returned field, task instruction, out of date, "
        "should return, a list instead of a string, text, edit the prompt of the task",
        toolset=Toolset.ADMIN,
        alternatives=("instruction", "output_schema", "input_schema", "plain_text"),
    ),
)
async def change_task(
    workspace: Workspace,
    project: ProjectReference,
    task: TaskReference = None,
    instruction: Annotated[str | None, Field(min_length=1)] = None,
    output_schema: Annotated[dict[str, JsonValue] | None, Field(description="JSON Schema.")] = None,
    input_schema: Annotated[dict[str, JsonValue] | None, Field(description="JSON Schema.")] = None,
    plain_text: Annotated[list[Part] | None, Field(description="What loses its schema.")] = None,
    misfits: Annotated[
        Literal["refuse", "tag"],
        Field(description="If items do not fit: change nothing, or tag them."),
    ] = "refuse",
) -> TaskChanged:
    """Edit a task's instruction (its system prompt), or the schemas of its inputs and outputs.

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
        if changes.keys() - {"instruction"}:
            await remove_tags_of_fitting_items(store, changed)
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
        return [NextStep(tool="find", reason="see them", arguments=arguments)]
    return [NextStep(tool="mark_runs", reason="give a run an `output` that fits")]


async def jobs_set_aside(workspace: Workspace, store: ProjectStore) -> list[Job]:
    """Return the project's jobs that were killed several times."""
    try:
        jobs = await workspace.job_client.jobs_set_aside() if workspace.job_client else []
    except WorkbenchError:  # a project is described without its jobs, too
        return []
    names = {store.project.name, str(store.folder)}
    return [job for job in jobs if job.arguments.get("project") in names]
