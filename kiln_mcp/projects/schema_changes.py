"""Items that no longer fit when a task's schemas change."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import anyio.to_thread

from storage import EvalInput, ProjectStore, Task, TaskRun
from storage.format.validation import item_misfit
from storage.index.queries import RunQuery

MISFIT_TAG: Final = "does_not_fit_schema"
"""The tag of items that do not fit their task's schemas."""
_PAGE: Final = 1000


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


async def checked_items(
    store: ProjectStore, task: Task, changed: Task
) -> AsyncGenerator[CheckedItems]:
    """Check a task's items against the schemas that it is to have; yield a thousand at a time.

    Outputs that evals made are no items: they belong to the schema that they were made for.
    """
    query, cursor = RunQuery("all", is_from_eval=False), None
    while True:
        page = await store.page_of_runs(task, query, order="oldest", limit=_PAGE, cursor=cursor)
        yield await anyio.to_thread.run_sync(_check, page.records, changed)
        cursor = page.next_cursor
        if cursor is None:
            break
    inputs = await store.children(task, EvalInput)
    for start in range(0, len(inputs), _PAGE):
        batch = inputs[start : start + _PAGE]
        yield await anyio.to_thread.run_sync(_check, batch, changed)


async def tag_misfits(store: ProjectStore, task: Task) -> None:
    """Tag the items that do not fit their task's schemas, a thousand in a transaction."""
    async with aclosing(checked_items(store, task, task)) as batches:
        async for batch in batches:
            async with store.transaction() as change:
                for fault in batch.faults:
                    change.amend(fault.record, _with_tag)


def _with_tag(item: TaskRun | EvalInput) -> TaskRun | EvalInput:
    return item.replace(tags=tuple(dict.fromkeys((*item.tags, MISFIT_TAG))))


def _check(items: Sequence[TaskRun] | Sequence[EvalInput], task: Task) -> CheckedItems:
    reasons = ((item, item_misfit(item, task)) for item in items)
    return CheckedItems(len(items), tuple(ItemFault(item, why) for item, why in reasons if why))
