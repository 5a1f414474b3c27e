"""Errors of approvals.

kiln_mcp.errors and storage.errors draw the whole tree.

    WorkbenchError
    ├── ApprovalNeeded      a person must agree before this is done
    ├── ApprovalDeclined    the person said no
    └── ApprovalsFailed     the record of approvals cannot be used, so nothing is approved
"""

import sqlite3
from pathlib import Path

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.errors import database_sentence
from storage.errors import WorkbenchError


class ApprovalNeeded(WorkbenchError):
    """A person must agree before this is done; nothing has been done yet.

    Attributes:
        plan: What a person must agree to.
        approval_id: The request that waits for them; empty if none was made.
    """

    def __init__(self, plan: Plan, approval_id: str = "") -> None:
        self.plan = plan
        self.approval_id = approval_id
        way = f" with: kiln-mcp approve {approval_id}" if approval_id else ""
        super().__init__(
            f"{plan.text} Nothing has been done yet: a person must approve it in a terminal{way}."
        )


class ApprovalDeclined(WorkbenchError):
    """The person said no; nothing has been done."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(f"{plan.text} The person declined. Nothing has been done.")


class ApprovalsFailed(WorkbenchError):
    """The record of approvals cannot be read or written; nothing is approved without it."""

    def __init__(self, file: Path, error: sqlite3.Error | OSError | ValueError) -> None:
        lost = "What waited for approval is lost with it, and the history of approvals"
        super().__init__(f"Nothing was approved. {database_sentence(file, error, lost)}")
