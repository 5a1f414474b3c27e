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

# ruff: noqa: N818

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


class KindWithoutRecord(WorkbenchError):
    """A record is named without its kind, or a kind without a record."""

    def __init__(self) -> None:
        super().__init__(
            "Give both `kind` and `record` for one record, or neither for the whole project."
        )


class NothingToRate(WorkbenchError):
    """A rating holds nothing."""

    def __init__(self) -> None:
        super().__init__("Nothing was rated. Give `stars`, `scores` or both.")


class UnknownScore(WorkbenchError):
    """The task's outputs are not rated by this."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        known = f"There are: {', '.join(names)}." if names else "The task has no eval yet."
        super().__init__(
            f"No eval or requirement of the task has a score '{name}'. {known} Nothing was rated."
        )


class UnusableRating(WorkbenchError):
    """A score's scale has no such rating."""

    def __init__(self, name: str, said: str, valid: Sequence[str]) -> None:
        super().__init__(
            f"'{name}' cannot be rated {said[:40]!r}: valid are {', '.join(valid)}. Nothing was "
            "rated."
        )


class NothingToTag(WorkbenchError):
    """There is no tag to add and none to take away."""

    def __init__(self) -> None:
        super().__init__("No run was tagged. Give tags to `add`, to `remove`, or both.")


class TagBothWays(WorkbenchError):
    """A tag is to be added and taken away."""

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__(
            f"No run was tagged: {', '.join(tags)} cannot be added and taken away at once. Name "
            "a tag in `add` or in `remove`."
        )


class UnusableTag(WorkbenchError):
    """A tag that people could not read or type."""

    def __init__(self, tag: str, longest: int) -> None:
        super().__init__(
            f"The tag {tag[:40]!r} cannot be used. A tag has 1 to {longest} characters that can be "
            "seen, and no spaces. Nothing was tagged."
        )


class NotAnObjectSchema(WorkbenchError):
    """A task's schema is not what the format allows."""

    def __init__(self, which: str, reason: str) -> None:
        super().__init__(
            f"The {which} schema cannot be used: {reason}. Give a JSON Schema of type object with "
            "properties, or leave it out for plain text."
        )
