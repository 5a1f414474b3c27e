"""Open the workspace of a person for the life of a process."""

from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from kiln_mcp.home import prepare_home
from kiln_mcp.jobs import Job, JobClient, JobSettings, JsonObject
from kiln_mcp.llm import Budget, Engine, Model
from kiln_mcp.settings import Settings
from kiln_mcp.workbench.known_projects import KnownProjects
from kiln_mcp.workbench.needs import NeedsOf, nothing_needed
from kiln_mcp.workbench.progress import ProgressReport, Relay
from kiln_mcp.workbench.workspace import (
    CarryOut,
    EstimatePlan,
    Workspace,
    carry_out_nothing,
    estimate_nothing,
    settle_reservation,
)


@asynccontextmanager
async def open_workspace(
    settings: Settings,
    carry_out: CarryOut = carry_out_nothing,
    models: Mapping[str, Model] | None = None,
    estimate: EstimatePlan = estimate_nothing,
    needs_of: NeedsOf = nothing_needed,
) -> AsyncGenerator[Workspace]:
    """Open the workspace of this person for the life of a process.

    Args:
        settings: The settings of this process.
        carry_out: Carries out the capability of a job.
        models: Further models by name.
        estimate: Plans a call without carrying it out.
        needs_of: Returns what a capability needs, for next steps.
    """
    with suppress(OSError):  # the first use of the home says what is wrong with it
        prepare_home(settings.home)
    shared = replace(settings.engine, shared_database_url=settings.shared_database_url)
    async with Engine(shared, models) as engine:
        projects = KnownProjects(settings.home / "projects.json")

        budgets: dict[str, Budget] = {}

        async def work(job: Job, report: ProgressReport) -> JsonObject:
            name = f"jobs/{job.id}"
            budget = budgets[job.id] = await engine.budget(name, job.limit, job.worked_s)
            own = _workspace_of(job, workspace, budget, report)
            try:
                return await _within(budget, carry_out(own, job))
            finally:
                del budgets[job.id]
                await settle_reservation(own, job)

        async def hold(job_id: str) -> None:
            if job_id in budgets:
                await budgets[job_id].hold()

        jobs = JobSettings(settings.database_url)
        job_client = JobClient(
            jobs if settings.does_jobs else replace(jobs, at_once=0),
            work,
            hold,
            lambda job_id: engine.count_answers(f"jobs/{job_id}/*"),
        )
        workspace = Workspace(
            settings=settings,
            engine=engine,
            projects=projects,
            job_client=job_client,
            estimate=estimate,
            needs_of=needs_of,
        )
        try:
            yield workspace
        finally:
            await job_client.close()
            await projects.close()


def _workspace_of(
    job: Job, workspace: Workspace, budget: Budget, report: ProgressReport
) -> Workspace:
    """Return a workspace with the budget, the progress and the model of a job."""
    relay = Relay(report)
    engine = workspace.engine.within(budget).with_listener(relay.say, relay.gauge)
    own = replace(workspace, engine=engine, report=relay.report, job=job.id)
    # The model is that of the client that started it; the daemon serves others too.
    return own if job.model is None else own.with_model(job.model)


async def _within(budget: Budget, work: Awaitable[JsonObject]) -> JsonObject:
    """Return the result of work; raise what its budget refused instead, if it did."""
    try:
        result = await work
    except Exception as error:
        # It comes alone, or in the group of a capability that does several things at once.
        if budget.refusal is not None and budget.refusal is not error:
            raise budget.refusal from error
        raise
    if budget.refusal is not None:
        raise budget.refusal
    return result
