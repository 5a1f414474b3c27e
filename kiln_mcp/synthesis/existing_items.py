"""The items that a dataset has, as keys to compare new ones with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from kiln_mcp.datasets.items import is_known_right
from storage import ProjectStore, Task, TaskRun
from storage.exchange import ItemKeys, key_of
from storage.index.results import ItemText, item_texts
from storage.text.excerpts import excerpt

_PAGE: Final = 2000
_MOST_SHOWN: Final = 50
_LONGEST: Final = 200


@dataclass(slots=True)
class ExistingItems:
    """What a dataset has.

    Attributes:
        keys: The inputs and right outputs of its items.
        references: An excerpt of the right outputs that new ones contradict, by the input's key.
    """

    keys: ItemKeys = field(default_factory=ItemKeys)
    references: dict[int, str] = field(default_factory=dict[int, str])

    def add(self, question: int, answer: int, output: str, new_items: ItemKeys) -> None:
        """Add an item."""
        self.keys.add(question, answer)
        other = new_items.references.get(question)
        if other and other != answer and len(self.references) < _MOST_SHOWN:
            self.references.setdefault(question, excerpt(output, _LONGEST))


async def existing_items(store: ProjectStore, task: Task, new_items: ItemKeys) -> ExistingItems:
    """Return the items of a dataset that have an output known to be right.

    Records are read only of items with the input of a new one whose output a model wrote.

    Args:
        store: The project.
        task: The task.
        new_items: The items that are to be compared with them.
    """
    existing, after = ExistingItems(), -1
    path = task.saved.path
    while True:
        page = await store.ask(lambda index, row=after: item_texts(index, path, row, _PAGE))
        unchecked_items: list[ItemText] = []
        contradicted_items: list[ItemText] = []
        for item in page:
            question = key_of(item.input)
            answer = key_of(item.output)
            if not item.is_unchecked:
                existing.add(question, answer, item.output, new_items)
                if new_items.references.get(question, answer) != answer or (
                    question in new_items.contradicted_inputs
                ):
                    contradicted_items.append(item)
            elif question in new_items.references:
                unchecked_items.append(item)
        await _add_right_ones(store, existing, unchecked_items, new_items)
        await _add_other_outputs(store, existing, contradicted_items)
        if len(page) < _PAGE:
            return existing
        after = page[-1].row


async def _add_right_ones(
    store: ProjectStore, existing: ExistingItems, items: Sequence[ItemText], new_items: ItemKeys
) -> None:
    """Add those of some items whose output is known to be right."""
    records = await store.read_all(TaskRun, [item.path for item in items]) if items else {}
    for item in items:
        record = records.get(item.path)
        if record is not None and is_known_right(record):
            existing.add(key_of(item.input), key_of(item.output), item.output, new_items)


async def _add_other_outputs(
    store: ProjectStore, existing: ExistingItems, items: Sequence[ItemText]
) -> None:
    """Add the other right outputs of items that new ones seem to contradict."""
    records = await store.read_all(TaskRun, [item.path for item in items]) if items else {}
    for item in items:
        record = records.get(item.path)
        for output in record.other_right_outputs if record is not None else ():
            existing.keys.pairs.add((key_of(item.input), key_of(output)))
