"""Everything that is known about a job, on one page."""

from datetime import UTC, datetime

from pydantic import JsonValue

from kiln_mcp.jobs import Job, JobEvent
from kiln_mcp.operations.job_control.answers import JobReport, job_report
from kiln_mcp.operations.job_control.desk import desk_of
from kiln_mcp.workbench.capability import Result
from kiln_mcp.workbench.workspace import Workspace


class JobMoment(Result):
    """Something that happened to a job."""

    at: str
    text: str


class JobPage(JobReport):
    """A job with its arguments, its times and what happened to it."""

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
        approval_id=job.agreement.approval_id or None if job.agreement else None,
        created=when(job.created_at),
        changed=when(job.changed_at),
        attempt=job.attempt,
        events=[JobMoment(at=when(event.at), text=event.text) for event in events],
    )


async def read_job(workspace: Workspace, job_id: str) -> JobPage:
    """Return a job's page.

    Raises:
        UnknownJob: No job has this id.
    """
    runner = await desk_of(workspace).runner()
    job = await runner.find(job_id)
    engine, name = workspace.engine, f"jobs/{job_id}"
    spent, lost = await engine.spending(f"{name}/*"), await engine.unanswered_expense(name)
    report = job_report(job, spent, lost).model_copy(update={"plan": job.plan or None})
    return _page(job, report, await runner.events(job_id))


async def newest_jobs(workspace: Workspace, most: int) -> list[JobPage]:
    """Return the newest jobs, newest first, without what they spent, did and gave."""
    jobs = await desk_of(workspace).newest(most)
    return [_page(job, job_report(job, (), whole=False), []) for job in jobs]
