"""Errors of jobs.

storage.errors.WorkbenchError
└── JobStoreFailure            the database of jobs cannot be used
"""

from pathlib import Path

from kiln_mcp.errors import database_sentence
from storage.errors import WorkbenchError
from storage.text.excerpts import LONGEST_REASON, excerpt_line


class JobStoreFailure(WorkbenchError):
    """The database of jobs cannot be used."""

    def __init__(self, place: str, error: Exception, *, is_file: bool) -> None:
        """Write the sentence.

        Args:
            place: Its file, or the address of its server.
            error: The error of the database.
            is_file: Whether it is a file.
        """
        if is_file:
            super().__init__(database_sentence(Path(place), error, _LOSS))
            return
        line = excerpt_line(error, LONGEST_REASON).rstrip(".")
        super().__init__(
            f"The database of jobs at {place} cannot be used: {line}. Check that it runs and that "
            "KILN_MCP_DATABASE_URL or --database-url names it, then try again."
        )


_LOSS = "Its jobs are forgotten; what they made, and the answers of models, are kept elsewhere"
