"""Errors of specifications.

storage.errors.WorkbenchError
├── kinds.FieldsMismatch   fields that the kind does not have, or lacks
├── SpecNotNamed           neither or both of a saved specification and a draft
└── NothingToRefine        neither answers nor edits
"""

from collections.abc import Sequence

from storage.errors import WorkbenchError


class SpecNotNamed(WorkbenchError):
    """The call names neither a saved specification nor a draft, or both."""

    def __init__(self, names: Sequence[str]) -> None:
        known = ", ".join(names) or "none yet: call draft_spec"
        super().__init__(
            f"Give either `spec` (saved here: {known}) or `draft` with its kind and fields."
        )


class NothingToRefine(WorkbenchError):
    """The call brings neither answers nor edits."""

    def __init__(self) -> None:
        super().__init__(
            "There is nothing to work in: give `answers` or `edits`, or save=true to keep the "
            "draft as it is. find_spec_gaps asks the questions."
        )
