"""Errors of this room.

storage.errors.WorkbenchError
└── NoJobsHere             this workspace was opened without jobs
"""

from storage.errors import WorkbenchError


class NoJobsHere(WorkbenchError):  # noqa: N818 - errors are named by their cause
    """This workspace was opened without jobs."""

    def __init__(self) -> None:
        super().__init__(
            "This process runs no jobs. Start the tool through `kiln-mcp` or `kiln-mcp serve`."
        )
