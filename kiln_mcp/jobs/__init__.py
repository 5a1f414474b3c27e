"""Long work that outlives the client that started it and the process that ran it."""

from kiln_mcp.jobs.database import sqlite_url
from kiln_mcp.jobs.records import Job, JobEvent, JobState, Progress
from kiln_mcp.jobs.runner import JobRunner, JobSettings, ReportProgress, Work

__all__ = [
    "Job",
    "JobEvent",
    "JobRunner",
    "JobSettings",
    "JobState",
    "Progress",
    "ReportProgress",
    "Work",
    "sqlite_url",
]
