"""How every capability names a project and a task, and finds them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated

import anyio.to_thread
from pydantic import Field

from storage import ProjectStore, Record, Spec, Task
from storage.errors import CorruptRecord, NextStep, Refusal, UnreadableRecord
from storage.files import read_plain
from storage.format.layout import folder_of, place_named, place_of
from storage.format.record_text import read_record
from storage.records.handles import NameRow, handle_with_id, handles_of
from storage.records.names import folded_name

ProjectReference = str
"""A project by its name or folder."""
NameProblem = Annotated[
    str | None,
    Field(description="Why the project's name does not mean it, and what to give instead."),
]
TaskReference = Annotated[
    str | None,
    Field(description="If there are several."),
]


async def task_of(store: ProjectStore, reference: str | None) -> Task:
    """Return the task that is meant: the named one, or the only one.

    Raises:
        Refusal: The project has no task yet, or several and none is named.
        storage.UnreadableRecord: It has one that cannot be read.
        storage.RecordNotFound: No task has this name or id.
    """
    if reference is not None:
        return await store.find(Task, reference, parent=store.project)
    tasks = await store.children(store.project, Task)
    if not tasks:
        raise await unreadable_task(store) or Refusal(
            "The project '{project}' has no task yet.",
            project=store.project.name,
            next=[
                NextStep(
                    tool="create_project",
                    reason="say what a model is to do, as `task` and `instruction`",
                    arguments={"project": str(store.folder)},
                )
            ],
        )
    if len(tasks) > 1:
        raise Refusal(
            "The project '{project}' has several tasks: {names}. Name one as `task`, by its name "
            "or id.",
            project=store.project.name,
            names=told_apart(tasks),
        )
    return tasks[0]


async def handles(store: ProjectStore, kind: type[Record]) -> dict[str, str]:
    """Return the handle of each record of a kind, such as `spec/refunds`, by its id."""
    rows = await store.ask(lambda index: index.names(None, kind.type_name()))
    return handles_of(kind.type_name(), rows)


async def handle_of(store: ProjectStore, record: Record) -> str:
    """Return what names a saved record in the next call, such as `spec/refunds`."""
    kind = type(record)
    known_handles = await handles(store, kind) if "name" in kind.model_fields else {}
    return known_handles.get(record.id) or handle_with_id(kind.type_name(), record.id)


def told_apart(records: Sequence[Task] | Sequence[Spec]) -> list[str]:
    """Return the names of records, with the handle where another one is called the same."""
    rows = [NameRow("", record.id, record.name, folded_name(record.name)) for record in records]
    count = Counter(row.key for row in rows)
    record_handles = handles_of(records[0].type_name(), rows) if records else {}
    return [
        row.name if count[row.key] == 1 else f"{row.name} ({record_handles[row.id]})"
        for row in rows
    ]


async def task_above(store: ProjectStore, record: Record) -> Task:
    """Return the task that a record lies below.

    Raises:
        CorruptRecord: The record can be read and its task cannot.
    """
    for task in await store.children(store.project, Task):
        if record.saved.path.startswith(f"{folder_of(task.saved.path)}/"):
            return task
    raise CorruptRecord(record.saved.path, "the task that it belongs to cannot be read")


async def unreadable_task(store: ProjectStore) -> UnreadableRecord | None:
    """Return what is wrong with the first task that could not be read; None if there is none."""
    for problem in store.problems:
        if place_named(PurePosixPath(problem.path).name) != place_of(Task):
            continue
        try:
            file = store.folder / problem.path
            content = await anyio.to_thread.run_sync(read_plain, file)
            read_record(Task, content, problem.path)
        except UnreadableRecord as error:
            return error
        except OSError:
            continue
    return None


def is_same_name(first: str, other: str) -> bool:
    """Return whether two names are the same for a person: case and outer spaces do not count."""
    return first.strip().casefold() == other.casefold()
