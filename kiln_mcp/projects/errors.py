"""Errors of projects and tasks.

storage.errors.WorkbenchError
├── NoTask            the project has no task yet
├── TaskNotNamed      several tasks, and the call names none
├── FolderTaken       a new project's folder holds something already
├── KindWithoutRecord a record is named without its kind, or a kind without a record
└── NotAnObjectSchema a task's schema is not what the format allows
"""

# ruff: noqa: N818

from collections.abc import Sequence
from pathlib import Path

from storage.errors import WorkbenchError


class NoTask(WorkbenchError):
    """The project has no task yet."""

    def __init__(self, project: str) -> None:
        super().__init__(f"The project '{project}' has no task yet. Call create_task first.")


class TaskNotNamed(WorkbenchError):
    """The project has several tasks, and the call names none."""

    def __init__(self, project: str, names: Sequence[str]) -> None:
        super().__init__(
            f"The project '{project}' has several tasks: {', '.join(names)}. Name one as `task`."
        )


class FolderTaken(WorkbenchError):
    """The folder of a new project holds something already."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} is not empty. Choose another folder, or call describe_project with it "
            "when it holds a project."
        )


class KindWithoutRecord(WorkbenchError):
    """A record is named without its kind, or a kind without a record."""

    def __init__(self) -> None:
        super().__init__(
            "Give both `kind` and `record` for one record, or neither for the whole project."
        )


class NotAnObjectSchema(WorkbenchError):
    """A task's schema is not what the format allows."""

    def __init__(self, which: str, reason: str) -> None:
        super().__init__(
            f"The {which} schema cannot be used: {reason}. Give a JSON Schema of type object with "
            "properties, or leave it out for plain text."
        )
