"""Errors of approvals.

kiln_mcp.errors and storage.errors draw the whole tree.

    WorkbenchError
    ├── ApprovalNeeded      a person must agree before this is done
    └── ApprovalsFailed     the record of approvals cannot be used, so nothing is approved
"""

# ruff: noqa: N818

import sqlite3
from pathlib import Path

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.errors import database_sentence
from storage.errors import WorkbenchError


class ApprovalNeeded(WorkbenchError):
    """A person must agree before this is done; nothing has been done yet.

    A door that can ask the person does, and calls again with `confirm=True`.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(
            f"{plan.text} Nothing has been done yet: ask the person, and when they agree call "
            "again with confirm=true."
        )


class ApprovalsFailed(WorkbenchError):
    """The record of approvals cannot be read or written; nothing is approved without it."""

    def __init__(self, file: Path, error: sqlite3.Error | OSError | ValueError) -> None:
        lost = "What waited for approval is lost with it, and the history of approvals"
        super().__init__(f"Nothing was approved. {database_sentence(file, error, lost)}")
