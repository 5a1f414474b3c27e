"""Long work that outlives the client that started it and the process that ran it."""

from kiln_mcp.jobs.desk import JobDesk
from kiln_mcp.jobs.records import (
    Agreement,
    Hold,
    Job,
    JobEvent,
    JobSettings,
    JobState,
    JsonObject,
    Progress,
    ReportProgress,
    Stop,
    Work,
)

__all__ = [
    "Agreement",
    "Hold",
    "Job",
    "JobDesk",
    "JobEvent",
    "JobSettings",
    "JobState",
    "JsonObject",
    "Progress",
    "ReportProgress",
    "Stop",
    "Work",
]
