"""Long work that survives its client and its process.

`client` opens the runner when it is needed, and `backlog` says whether it is. `job_runner` is the
interface. `workflows` hands attempts to DBOS, `attempts` makes them, and `recovery` takes over from
workers that died. `job_table` with `job_sql` is what people see of jobs.
"""

from kiln_mcp.jobs.client import JobClient
from kiln_mcp.jobs.job_records import (
    ApprovedPlan,
    Hold,
    Job,
    JobEvent,
    JobFunction,
    JobSettings,
    JobState,
    JsonObject,
    Progress,
    ReportProgress,
    Stop,
)

__all__ = [
    "ApprovedPlan",
    "Hold",
    "Job",
    "JobClient",
    "JobEvent",
    "JobFunction",
    "JobSettings",
    "JobState",
    "JsonObject",
    "Progress",
    "ReportProgress",
    "Stop",
]
