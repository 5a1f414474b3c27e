"""Errors of projects and tasks.

storage.errors.WorkbenchError
├── NoTask            the project has no task yet
├── TaskExists        a task of this name is there already
├── TaskNotNamed      several tasks, and the call names none
├── FolderTaken       a new project's folder holds something already
├── KindWithoutRecord a record is named without its kind, or a kind without a record
├── NothingToRate     a rating without stars and without scores
├── UnknownScore      a rating of a score that no eval of the task has
├── NothingToTag      no tag to add and none to take away
├── TagBothWays       a tag is to be added and taken away
├── UnusableTag       a tag that people could not read
└── NotAnObjectSchema a task's schema is not what the format allows
"""

from collections.abc import Sequence
from pathlib import Path

from storage.errors import WorkbenchError


class NoTask(WorkbenchError):
    """The project has no task yet."""

    def __init__(self, project: str) -> None:
        super().__init__(f"The project '{project}' has no task yet. Call create_task first.")


class TaskExists(WorkbenchError):
    """A task of this name is there already."""

    def __init__(self, name: str, task_id: str) -> None:
        super().__init__(
            f"There is a task '{name}' already, with the id {task_id}. Choose another name, or go "
            "on with that one."
        )


class TaskNotNamed(WorkbenchError):
    """The project has several tasks, and the call names none."""

    def __init__(self, project: str, names: Sequence[str]) -> None:
        super().__init__(
            f"The project '{project}' has several tasks: {', '.join(names)}. Name one as "
            "`task`, by its name or id."
        )


class FolderTaken(WorkbenchError):
    """The folder of a new project holds something already."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} is not empty. Choose another folder, or call describe_project with it "
            "when it holds a project."
        )


class NotAnObjectSchema(WorkbenchError):
    """A task's schema is not what the format allows."""

    def __init__(self, which: str, reason: str) -> None:
        super().__init__(
            f"The {which} schema cannot be used: {reason}. Give a JSON Schema of type object with "
            "properties, or leave it out for plain text."
        )
