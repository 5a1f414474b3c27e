"""Inputs of an eval's test part that prompts may learn from, by the index alone."""

from collections.abc import Iterable
from typing import Final

from kiln_mcp.datasets.items import items_in
from storage import Eval, ProjectStore, Task, TaskRunSplit
from storage.index.queries import IndexReader
from storage.index.results import item_texts

MOST_ITEMS: Final = 20_000
"""Runs of a task up to which their inputs are compared: describing a project stays quick."""
LEARNT_PARTS: Final = ("train", "val")


class SharedInputs:
    """Finds equal inputs in the parts of a task's evals; the texts are read once.

    Args:
        store: The open project.
        task: The task.
        runs: How many runs it has.
    """

    def __init__(self, store: ProjectStore, task: Task, runs: int) -> None:
        self._store = store
        self._task = task
        self._is_small = runs <= MOST_ITEMS
        self._texts: dict[str, str] | None = None

    async def count(self, record: Eval) -> int:
        """Return how many inputs of an eval's test part are also in its train or val part.

        Case and blanks do not count. Parts of inputs without outputs, and those of tasks with very
        many runs, are not compared.
        """
        test = record.part("test")
        if not self._is_small or not isinstance(test, TaskRunSplit):
            return 0
        learnt = [p for n in LEARNT_PARTS if isinstance(p := record.part(n), TaskRunSplit)]
        if not learnt:
            return 0
        learnt_inputs = {text for part in learnt for text in await self._inputs(part)}
        return len(set(await self._inputs(test)) & learnt_inputs)

    async def _inputs(self, part: TaskRunSplit) -> Iterable[str]:
        if self._texts is None:
            self._texts = await self._store.ask(self._read)
        rows = await items_in(self._store, self._task, part)
        return [self._texts[row.path] for row in rows if row.path in self._texts]

    async def _read(self, index: IndexReader) -> dict[str, str]:
        rows = await item_texts(index, self._task.saved.path, -1, MOST_ITEMS)
        return {row.path: " ".join(row.input.casefold().split()) for row in rows}
