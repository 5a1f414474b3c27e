"""Errors of prompt evolution.

storage.errors.WorkbenchError
└── EvolutionError
    ├── PartMissing     training, validation or test items are missing
    └── PartsOverlap    an item is in two parts
"""

from storage.errors import WorkbenchError


class EvolutionError(WorkbenchError):
    """Something prevents a search for a better prompt."""


class PartMissing(EvolutionError):
    """There are no training, validation or test items."""

    def __init__(self, part: str, looked_for: str | None) -> None:
        where = f"no item fits {looked_for!r}" if looked_for else "the eval names no such part"
        super().__init__(
            f"There are no {part} items: {where}. Call split_data, then create_evaluator with "
            "test_filter, train_filter and val_filter of the same split."
        )


class PartsOverlap(EvolutionError):
    """Items that choose the prompt would also measure it."""

    def __init__(self, first: str, second: str, count: int) -> None:
        super().__init__(
            f"{count} inputs are in both {first} and {second}, so the result would flatter. "
            "Call split_data again and use its filters."
        )
