"""Errors about labels and agreement.

storage.errors.WorkbenchError
└── JudgingError
    ├── LabelsRefused     some labels do not fit; none was saved
    ├── NothingToLabel    every item has a label, or there is none
    └── NothingToMeasure  no item has both a label and a verdict
"""

from collections.abc import Sequence

from storage.errors import WorkbenchError


class JudgingError(WorkbenchError):
    """Something about labels or agreement prevents the result."""


class LabelsRefused(JudgingError):
    """Some labels do not fit; none was saved."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"No label was saved: {' '.join(problems)}")


class NothingToLabel(JudgingError):
    """Every item has a label, or there is none."""


class NothingToMeasure(JudgingError):
    """No item has both a label and a verdict."""
