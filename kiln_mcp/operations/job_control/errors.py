"""Errors of this room.

storage.errors.WorkbenchError
├── NoJobsHere             this workspace was opened without jobs
├── PlanGrew               a job would do more now than was agreed to
├── LimitStands            a job that a limit stopped needs a higher one
└── JobNotDone             a job that somebody waited for ended otherwise
"""

from storage.errors import WorkbenchError


class NoJobsHere(WorkbenchError):
    """This workspace was opened without jobs."""

    def __init__(self) -> None:
        super().__init__(
            "This process runs no jobs. Start the tool through `kiln-mcp` or `kiln-mcp serve`."
        )


class PlanGrew(WorkbenchError):
    """A job would do more now than was agreed to when it began."""

    def __init__(self, job: str, tool: str, plan: str, agreed: str) -> None:
        super().__init__(
            f"The job {job} would do more now than was agreed to: {plan} Agreed to was: {agreed} "
            f"Call {tool} again to have the new plan approved: what is done is kept."
        )


class LimitStands(WorkbenchError):
    """A job that a limit stopped is to go on without a higher one."""

    def __init__(self, job: str, kind: str, arguments: str) -> None:
        super().__init__(
            f"The job {job} was stopped by its limit in {_KINDS.get(kind, kind)}, and would be at "
            f"once again. Call resume_job with {arguments}."
        )


_KINDS = {"cost_usd": "money", "seconds": "time"}


class JobNotDone(WorkbenchError):
    """A job that somebody waited for ended otherwise than done."""

    def __init__(self, job: str, state: str, reason: str | None) -> None:
        said = f" {reason}" if reason else ""
        super().__init__(
            f"The job {job} is {state}.{said} What it has done is kept: resume-job --job {job} "
            "goes on."
        )
