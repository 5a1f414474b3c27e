"""Exports of projects and of runs, as proposals."""

from pathlib import Path

import anyio.to_thread
from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.projects.exchange.destinations import outside
from kiln_mcp.workbench.capability import Proposal, Result
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, Task, exchange
from storage.exchange import new_run_table
from storage.index.queries import RunQuery
from storage.text.excerpts import with_remainder

_PAGE = 1000
_MOST_NAMED = 20


class ProjectExported(Result):
    """Where the archive is, and what is not in it."""

    file: str
    files: int
    megabytes: float
    unpacked_files: list[str] = Field(
        description="What lies in the folder and is not in the archive."
    )


class ExportReport(Result):
    """Where the table is."""

    file: str
    runs: int


def propose_project_export(
    workspace: Workspace, store: ProjectStore, target: Path
) -> Proposal[ProjectExported]:
    """Propose to pack a project into a zip that Kiln opens."""
    plan = Plan(
        f"Export the project {store.project.name!r} as an archive.",
        destination=outside(workspace, store, target),
    )

    async def pack() -> ProjectExported:
        package = await exchange.pack_project(store, target)
        return ProjectExported(
            file=str(package.file),
            files=package.files,
            megabytes=package.size / 1e6,
            unpacked_files=with_remainder(
                package.exclusions[:_MOST_NAMED], len(package.exclusions)
            ),
        )

    return Proposal(plan, pack)


def propose_run_export(
    workspace: Workspace, store: ProjectStore, task: Task, filter_id: str, place: Path
) -> Proposal[ExportReport]:
    """Propose to write runs of a task to a table that other programs read.

    In CSV, text that a spreadsheet would run as a formula has a ' before it.
    """
    plan = Plan(
        f"Export runs of the task {task.name!r} ({filter_id}).",
        destination=outside(workspace, store, place),
    )

    async def write_table() -> ExportReport:
        query, cursor = RunQuery(filter_id=filter_id), None
        with new_run_table(place, of=store.folder) as table:
            while True:
                page = await store.page_of_runs(
                    task, query, order="oldest", limit=_PAGE, cursor=cursor
                )
                await anyio.to_thread.run_sync(table.add, page.records)
                total = page.total if page.total_is_exact else None
                await workspace.report(table.count, total, f"{table.count} runs exported")
                cursor = page.next_cursor
                if cursor is None:
                    break
        return ExportReport(file=str(place), runs=table.count)

    return Proposal(plan, write_table)
