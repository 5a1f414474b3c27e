"""Report a job: its state, what it has spent, and what its caller does next."""

from kiln_mcp.jobs import Job
from kiln_mcp.operations.job_control.answers import JobReport, job_report
from kiln_mcp.workbench.workspace import Workspace


async def report_of(workspace: Workspace, job: Job, *, whole: bool = True) -> JobReport:
    """Return a job's report; `whole` also with its result."""
    engine, name = workspace.engine, f"jobs/{job.id}"
    spent, lost = await engine.spending(f"{name}/*"), await engine.unanswered_expense(name)
    report = job_report(job, spent, lost, whole=whole)
    waiting = 0 if job.state.at_rest else await questions_of(workspace, job.id)
    if waiting:
        questions = "1 question waits" if waiting == 1 else f"{waiting} questions wait"
        asks = f"{questions} for you: call take_work_orders and answer_work_orders"
        report = report.model_copy(update={"next_step": f"{asks}, then wait_for_job again."})
    return report


async def questions_of(workspace: Workspace, job_id: str) -> int:
    """Return how many questions of a job wait for the model `host`."""
    return await workspace.engine.orders.open_count(f"jobs/{job_id}/*")
