"""Items that no longer fit when a task's schemas change."""

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio.to_thread

from storage import EvalInput, ProjectStore, Task, TaskRun
from storage.format.validation import item_misfit
from storage.index.queries import RunQuery

MISFIT_TAG: Final = "does_not_fit_schema"
"""The tag of items that do not fit their task's schemas."""
_PAGE: Final = 1000
_MOST_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class ItemFault:
    """An item that does not fit.

    Attributes:
        record: The item.
        reason: Why.
    """

    record: TaskRun | EvalInput
    reason: str

    def __str__(self) -> str:
        """Return the item and the reason in words."""
        kind = "run" if isinstance(self.record, TaskRun) else "input"
        return f"{kind} {self.record.id}: {self.reason}"


@dataclass(frozen=True, slots=True)
class CheckedItems:
    """Some items that were checked.

    Attributes:
        count: How many.
        faults: Those that do not fit.
    """

    count: int
    faults: tuple[ItemFault, ...]


def task_with_new_schemas(task: Task, changed: Task) -> Task | None:
    """Return a changed task with its new schemas alone, to check items; None without a new one.

    An item that did not fit a schema before is no reason against another change.
    """
    old_schemas: dict[str, None] = {
        name: None
        for name in ("input_json_schema", "output_json_schema")
        if _value(getattr(task, name)) == _value(getattr(changed, name))
    }
    view = changed.replace(**old_schemas)
    return view if view.input_json_schema or view.output_json_schema else None


async def checked_items(
    store: ProjectStore, task: Task, view: Task
) -> AsyncGenerator[CheckedItems]:
    """Check a task's items against new schemas; yield a thousand at a time.

    Outputs that evals made are no items: they belong to the schema that they were made for.

    Args:
        store: The project.
        task: The task.
        view: The task with the schemas that are checked.
    """
    query, cursor = RunQuery("all", is_from_eval=False), None
    while True:
        page = await store.page_of_runs(task, query, order="oldest", limit=_PAGE, cursor=cursor)
        yield await anyio.to_thread.run_sync(_check, page.records, view)
        cursor = page.next_cursor
        if cursor is None:
            break
    inputs = await store.children(task, EvalInput)
    for start in range(0, len(inputs), _PAGE):
        batch = inputs[start : start + _PAGE]
        yield await anyio.to_thread.run_sync(_check, batch, view)


@dataclass(slots=True)
class Misfits:
    """The items that do not fit new schemas, by their files.

    Attributes:
        names: The first of them, with the reason.
        runs: The files of runs.
        inputs: The files of eval inputs.
    """

    names: list[str] = field(default_factory=list[str])
    runs: list[str] = field(default_factory=list[str])
    inputs: list[str] = field(default_factory=list[str])

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.runs) + len(self.inputs)

    def add(self, faults: Sequence[ItemFault]) -> None:
        """Add items that do not fit."""
        self.names += [str(fault) for fault in faults[: _MOST_NAMED - len(self.names)]]
        for fault in faults:
            paths = self.runs if isinstance(fault.record, TaskRun) else self.inputs
            paths.append(fault.record.saved.path)

    async def tag(self, store: ProjectStore) -> None:
        """Tag the items, a thousand in a transaction; those that were deleted are passed over."""
        await _tag(store, TaskRun, self.runs)
        await _tag(store, EvalInput, self.inputs)


async def remove_tags_of_fitting_items(store: ProjectStore, task: Task) -> None:
    """Take the tag of misfits from the items that fit their task's schemas as they are now."""
    runs = await store.runs(task, RunQuery(f"tag::{MISFIT_TAG}"))
    inputs = [i for i in await store.children(task, EvalInput) if MISFIT_TAG in i.tags]
    await _remove_tags(store, task, runs)
    await _remove_tags(store, task, inputs)


async def _remove_tags(
    store: ProjectStore, task: Task, items: Sequence[TaskRun] | Sequence[EvalInput]
) -> None:
    for start in range(0, len(items), _PAGE):
        page = items[start : start + _PAGE]
        report = await anyio.to_thread.run_sync(_check, page, task)
        misfit_ids = {fault.record.id for fault in report.faults}
        async with store.transaction() as change:
            for item in page:
                if item.id not in misfit_ids:
                    change.amend(item, _without_tag)


async def _tag(
    store: ProjectStore, kind: type[TaskRun] | type[EvalInput], paths: Sequence[str]
) -> None:
    for start in range(0, len(paths), _PAGE):
        records = await store.read_all(kind, paths[start : start + _PAGE])
        async with store.transaction() as change:
            for record in records.values():
                change.amend(record, _with_tag)


def _with_tag(item: TaskRun | EvalInput) -> TaskRun | EvalInput:
    return item.replace(tags=tuple(dict.fromkeys((*item.tags, MISFIT_TAG))))


def _without_tag(item: TaskRun | EvalInput) -> TaskRun | EvalInput:
    return item.replace(tags=tuple(tag for tag in item.tags if tag != MISFIT_TAG))


def _check(items: Sequence[TaskRun] | Sequence[EvalInput], view: Task) -> CheckedItems:
    reasons = ((item, item_misfit(item, view)) for item in items)
    return CheckedItems(len(items), tuple(ItemFault(item, why) for item, why in reasons if why))


def _value(schema: str | None) -> object:
    return None if schema is None else json.loads(schema)
