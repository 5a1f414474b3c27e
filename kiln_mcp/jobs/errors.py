"""Errors of jobs.

storage.errors.WorkbenchError
└── JobError                   everything about jobs
    ├── UnknownJob             no job has this id
    ├── NotResumable           the job is not at rest
    └── JobStoreFailed         the database of jobs cannot be used
"""

from collections.abc import Sequence
from pathlib import Path

from kiln_mcp.errors import database_sentence
from storage.errors import WorkbenchError


class JobError(WorkbenchError):
    """Something about a job."""


class UnknownJob(JobError):
    """No job has this id."""

    def __init__(self, job_id: str, newest: Sequence[str]) -> None:
        known = f" The newest: {', '.join(newest)}." if newest else " There are none yet."
        super().__init__(f"There is no job {job_id!r}.{known} Call list_jobs for all of them.")


class NotResumable(JobError):
    """The job is not at rest."""

    def __init__(self, job_id: str, state: str) -> None:
        super().__init__(
            f"The job {job_id} is {state}. Only a job that failed, was paused, cancelled, set "
            "aside or stopped by its budget can be gone on with; call wait_for_job to follow it."
        )


class JobStoreFailed(JobError):
    """The database of jobs cannot be used."""

    def __init__(self, place: str, error: Exception, *, is_file: bool) -> None:
        """Say so.

        Args:
            place: Its file, or the address of its server.
            error: What the database says.
            is_file: Whether it is a file.
        """
        if is_file:
            super().__init__(database_sentence(Path(place), error, _LOST))
            return
        line = " ".join(str(error).split())[:300].rstrip(".")
        super().__init__(
            f"The database of jobs at {place} cannot be used: {line}. Check that it runs and that "
            "KILN_MCP_DATABASE_URL or --database-url names it, then try again."
        )


_LOST = "Its jobs are forgotten; what they made, and the answers of models, are kept elsewhere"
