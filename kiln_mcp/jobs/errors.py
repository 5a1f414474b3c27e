"""Errors of jobs.

storage.errors.WorkbenchError
└── JobError                   everything about jobs
    ├── UnknownJob             no job has this id
    ├── NotResumable           the job is not at rest
    └── JobStoreFailed         the database of jobs cannot be used
"""

from collections.abc import Sequence

from storage.errors import WorkbenchError


class JobError(WorkbenchError):
    """Something about a job."""


class UnknownJob(JobError):  # noqa: N818 - errors are named by their cause
    """No job has this id."""

    def __init__(self, job_id: str, newest: Sequence[str]) -> None:
        known = f" The newest: {', '.join(newest)}." if newest else " There are none yet."
        super().__init__(f"There is no job {job_id!r}.{known} Call list_jobs for all of them.")


class NotResumable(JobError):  # noqa: N818
    """The job is not at rest."""

    def __init__(self, job_id: str, state: str) -> None:
        super().__init__(
            f"The job {job_id} is {state}. Only a job that failed, was paused, cancelled or "
            "stopped by its budget can be gone on with; call wait_for_job to follow it."
        )


class JobStoreFailed(JobError):  # noqa: N818
    """The database of jobs cannot be used."""

    def __init__(self, detail: str) -> None:
        line = " ".join(detail.split())[:300]
        super().__init__(
            f"The database of jobs cannot be used: {line} Check the disk's free space or the "
            "database server, then try again."
        )
