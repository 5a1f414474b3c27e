"""Report a job: its state, its costs, and its next steps."""

from kiln_mcp.jobs import Job
from kiln_mcp.operations.job_control.answers import JobReport, job_report
from kiln_mcp.workbench.workspace import Workspace
from storage.errors import NextStep


async def report_of(workspace: Workspace, job: Job, *, with_result: bool = True) -> JobReport:
    """Return the report of a job, with the questions that wait for the host."""
    engine, name = workspace.engine, f"jobs/{job.id}"
    entries, open_usage = await engine.spending(f"{name}/*"), await engine.unanswered_expense(name)
    report = job_report(job, entries, open_usage, with_result=with_result)
    waiting = 0 if job.state.at_rest else await questions_of(workspace, job.id)
    if waiting:
        questions = "1 question waits" if waiting == 1 else f"{waiting} questions wait"
        take = NextStep(tool="take_work_orders", reason=f"{questions} for you; answer them")
        report = report.model_copy(update={"next": [take, *report.next]})
    return report


async def questions_of(workspace: Workspace, job_id: str) -> int:
    """Return how many questions of a job wait for the model `host`."""
    return await workspace.engine.orders.open_count(f"jobs/{job_id}/*")
