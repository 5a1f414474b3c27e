"""Errors of approvals.

storage.errors.WorkbenchError
├── MissingApproval         a person must agree before this is done
└── ApprovalStoreFailure    the record of approvals cannot be used, so nothing is approved
"""

import sqlite3
from pathlib import Path

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.errors import database_sentence
from storage.errors import WorkbenchError


class MissingApproval(WorkbenchError):
    """A person must agree to a plan before it is carried out; nothing has been done yet.

    Attributes:
        plan: The plan that a person must agree to.
        approval_id: The request that waits for them; empty if none was made.
    """

    def __init__(self, plan: Plan, approval_id: str = "") -> None:
        self.plan = plan
        self.approval_id = approval_id
        command = f" with: kiln-mcp approve {approval_id}" if approval_id else ""
        super().__init__(
            f"{plan.text} Nothing has been done yet: a person must approve it in a "
            f"terminal{command}."
        )


class ApprovalStoreFailure(WorkbenchError):
    """The record of approvals cannot be read or written; nothing is approved without it."""

    def __init__(self, file: Path, error: sqlite3.Error | OSError | ValueError) -> None:
        loss = "What waited for approval is lost with it, and the history of approvals"
        super().__init__(f"Nothing was approved. {database_sentence(file, error, loss)}")


def rejection_error(plan: Plan) -> WorkbenchError:
    """Return the error for a plan that the person declined; nothing has been done."""
    return WorkbenchError(f"{plan.text} The person declined. Nothing has been done.")
