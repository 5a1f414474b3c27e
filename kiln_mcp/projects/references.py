"""How every capability names a project and a task, and finds them."""

from typing import Annotated

from pydantic import Field

from kiln_mcp.projects.errors import NoTask, TaskNotNamed
from storage import ProjectStore, Task

ProjectReference = Annotated[
    str, Field(description="The project's name, or the path of its folder.")
]
TaskReference = Annotated[
    str | None,
    Field(description="The task's name or id; may be left out where the project has one task."),
]


async def task_of(store: ProjectStore, reference: str | None) -> Task:
    """Return the task that is meant: the named one, or the only one.

    Raises:
        NoTask: The project has no task yet.
        TaskNotNamed: None is named and the project has several.
        storage.RecordNotFound: No task has this name or id.
    """
    if reference is not None:
        return await store.find(Task, reference, parent=store.project)
    tasks = await store.children(store.project, Task)
    if not tasks:
        raise NoTask(store.project.name)
    if len(tasks) > 1:
        raise TaskNotNamed(store.project.name, [task.name for task in tasks])
    return tasks[0]
