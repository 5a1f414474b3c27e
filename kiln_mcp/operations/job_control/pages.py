"""The page of a job: its report with arguments, times and events."""

from datetime import UTC, datetime

from pydantic import JsonValue

from kiln_mcp.jobs import Job, JobEvent
from kiln_mcp.operations.job_control.answers import JobReport, job_report
from kiln_mcp.operations.job_control.job_client import job_client_of
from kiln_mcp.workbench.capability import Result
from kiln_mcp.workbench.workspace import Workspace


class JobMoment(Result):
    """An event of a job."""

    at: str
    text: str


class JobPage(JobReport):
    """A job with its arguments, its times and its events."""

    arguments: dict[str, JsonValue]
    approval_id: str | None = None
    created: str
    changed: str
    attempt: int
    events: list[JobMoment]


def when(seconds: float) -> str:
    """Return a time as ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _page(job: Job, report: JobReport, events: list[JobEvent]) -> JobPage:
    return JobPage(
        **dict(report),
        arguments=dict(job.arguments),
        approval_id=job.approved_plan.approval_id or None if job.approved_plan else None,
        created=when(job.created_at),
        changed=when(job.changed_at),
        attempt=job.attempt,
        events=[JobMoment(at=when(event.at), text=event.text) for event in events],
    )


async def read_job(workspace: Workspace, job_id: str) -> JobPage:
    """Return a job's page.

    Raises:
        Refusal: No job has this id.
    """
    runner = await job_client_of(workspace).runner()
    job = await runner.find(job_id)
    engine, name = workspace.engine, f"jobs/{job_id}"
    entries, open_usage = await engine.spending(f"{name}/*"), await engine.unanswered_expense(name)
    report = job_report(job, entries, open_usage).model_copy(update={"plan": job.plan or None})
    return _page(job, report, await runner.events(job_id))


async def newest_jobs(workspace: Workspace, limit: int) -> list[JobPage]:
    """Return the newest jobs, newest first, without their costs, events and results."""
    jobs = await job_client_of(workspace).newest(limit)
    return [_page(job, job_report(job, (), with_result=False), []) for job in jobs]
