"""Errors of making data.

storage.errors.WorkbenchError
├── UnreadableItems      a file of items cannot be read as one
├── ItemMisfit           an item breaks the task's schema or lacks a part
├── NothingToSplit       no item is left to deal
├── UnknownParts         a split's shares mean nothing
├── ExamplesNeeded       the embedded model has nothing to go on with
└── NoItemsMade          the models gave no usable item
"""

from collections.abc import Sequence

from storage.errors import WorkbenchError


class UnreadableItems(WorkbenchError):
    """A file of items cannot be read as one."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"The items in {path} cannot be read: {reason}. Give a .csv file with columns input "
            "and output (topic and tags if you like), or a .json list or .jsonl file of such "
            "objects."
        )


class ItemMisfit(WorkbenchError):
    """An item breaks the task's schema or lacks a part; nothing was saved."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"Item {position} cannot be used: {reason}. No item was saved.")


class NothingToSplit(WorkbenchError):
    """No item is left to deal."""

    def __init__(self, name: str, dealt: int) -> None:
        already = f"all {dealt} are dealt already; again=true deals them anew" if dealt else ""
        advice = already or "add some with add_items or generate_data"
        super().__init__(f"There is no item to deal into the split '{name}': {advice}.")


class UnknownParts(WorkbenchError):
    """A split's shares mean nothing."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The shares cannot be used: {reason}. Give whole numbers, not negative, for train, "
            "val, test and golden; the usual ones are 40, 25, 25 and 10."
        )


class ExamplesNeeded(WorkbenchError):
    """The embedded model can only go on with a list, and there is none."""

    def __init__(self, given: int, needed: int) -> None:
        super().__init__(
            f"The embedded model makes inputs by going on with a list of {needed} or more, and "
            f"there are {given}. Give `examples`, write the inputs yourself as `inputs`, or name a "
            "stronger model as `model`."
        )


class NoItemsMade(WorkbenchError):
    """The models gave no usable item."""

    def __init__(self, reasons: Sequence[str]) -> None:
        first = f" The first failure: {reasons[0]}" if reasons else ""
        super().__init__(
            f"No usable item was made, and nothing was saved.{first} Try other examples or another "
            "model, or add your own items with add_items."
        )
