"""Errors of fine-tuning data.

storage.errors.WorkbenchError
├── NothingToFreeze      no item is dealt into the split
├── NothingToExport      no item is left after what is held out
├── PartNotInSplit       the frozen split has no such part
└── FormatMisfit         the format does not suit the task or one of its items
"""

from collections.abc import Sequence

from storage.errors import WorkbenchError


class NothingToFreeze(WorkbenchError):
    """No item is dealt into the split."""

    def __init__(self, split: str, known: Sequence[str]) -> None:
        names = ", ".join(known) or "none yet"
        super().__init__(
            f"No item is dealt into the split '{split}'. Splits that are dealt: {names}. Call "
            "split_data first."
        )


class NothingToExport(WorkbenchError):
    """No item is left after what is held out."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(f"Nothing of the part '{part}' can be exported: {reason}.")


class PartNotInSplit(WorkbenchError):
    """The frozen split has no such part."""

    def __init__(self, part: str, parts: Sequence[str]) -> None:
        super().__init__(f"The split has no part '{part}'. Its parts: {', '.join(parts)}.")


class FormatMisfit(WorkbenchError):
    """The format does not suit the task or one of its items."""

    def __init__(self, shape: str, reason: str, advice: str) -> None:
        super().__init__(f"The format {shape} cannot be used: {reason}. {advice}")
