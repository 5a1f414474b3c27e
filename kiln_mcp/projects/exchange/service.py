"""Capabilities: bring projects and runs in, and send them out."""

from typing import Annotated

import anyio.to_thread
from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.projects.exchange.destinations import outside
from kiln_mcp.projects.project_references import (
    NameProblem,
    ProjectReference,
    TaskReference,
    task_of,
)
from kiln_mcp.projects.runs.service import Filter
from kiln_mcp.workbench.capability import Effect, Proposal, Result, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import exchange
from storage.errors import NextStep
from storage.exchange import new_run_table
from storage.git.safety import check_address
from storage.index.queries import RunQuery
from storage.text.excerpts import with_remainder

_PAGE = 1000
_MOST_NAMED = 20


class ProjectImported(Result):
    """A project that was brought in."""

    project: str
    folder: str
    name_problem: NameProblem
    next: list[NextStep]


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


@capability(
    effect=Effect.WRITES,
    title="Import a project",
    sends_out=True,
    search_hint="open, clone, copy or restore a project from a folder, zip or git repository",
)
async def import_project(
    workspace: Workspace,
    source: Annotated[
        str,
        Field(
            description="Path of a folder or archive (zip, tar, tar.gz, tar.xz) that holds a "
            "project, or the address of a git repository."
        ),
    ],
    folder: Annotated[str, Field(description="A new folder to put it in.")],
    name: Annotated[
        str | None,
        Field(description="Which project, by name or folder, where the source holds several."),
    ] = None,
) -> Proposal[ProjectImported]:
    """Bring a project into a new folder: a copy of a folder or archive, or a clone from git.

    A copy has no git history and no trash; a clone keeps its history and can be synced.
    """
    is_address = exchange.is_address(source)
    if is_address:
        check_address(source)
    origin, target = source if is_address else str(workspace.place(source)), workspace.place(folder)
    plan = Plan(f"Import a project into {target}.", destination=source if is_address else "")

    async def bring_in() -> ProjectImported:
        place = await exchange.receive_project(origin, target, name=name)
        store = await workspace.open_project(str(place))
        return ProjectImported(
            project=store.project.name,
            folder=str(store.folder),
            name_problem=await workspace.projects.name_problem(store),
            next=[NextStep(tool="describe_project", reason="see what is there")],
        )

    return Proposal(plan, bring_in)


@capability(
    effect=Effect.WRITES,
    title="Export a project",
    sends_out=True,
    search_hint="back up, zip, archive or send a whole project",
)
async def export_project(
    workspace: Workspace,
    project: ProjectReference,
    file: Annotated[str, Field(description="Path of a new .zip file.")],
) -> Proposal[ProjectExported]:
    """Pack a project into a zip that import_project and Kiln open.

    Without git history, trash, what .gitignore names, and files that are no part of a project,
    such as a .env.
    """
    store = await workspace.open_project(project)
    target = workspace.place(file)
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


@capability(
    effect=Effect.WRITES,
    title="Export runs",
    sends_out=True,
    search_hint="download or save outputs to a CSV, Excel or JSON file",
)
async def export_runs(
    workspace: Workspace,
    project: ProjectReference,
    file: Annotated[str, Field(description="Path of a new .jsonl, .csv or .parquet file.")],
    task: TaskReference = None,
    filter: Filter = "all",
) -> Proposal[ExportReport]:
    """Write runs of a task to a table that other programs read and add_data reads back.

    In CSV, text that a spreadsheet would run as a formula has a ' before it.
    """
    store = await workspace.open_project(project)
    task_record = await task_of(store, task)
    place = workspace.place(file)
    plan = Plan(
        f"Export runs of the task {task_record.name!r} ({filter}).",
        destination=outside(workspace, store, place),
    )

    async def write_table() -> ExportReport:
        query, cursor = RunQuery(filter_id=filter), None
        with new_run_table(place, of=store.folder) as table:
            while True:
                page = await store.page_of_runs(
                    task_record, query, order="oldest", limit=_PAGE, cursor=cursor
                )
                await anyio.to_thread.run_sync(table.add, page.records)
                total = page.total if page.total_is_exact else None
                await workspace.report(table.count, total, f"{table.count} runs exported")
                cursor = page.next_cursor
                if cursor is None:
                    break
        return ExportReport(file=str(place), runs=table.count)

    return Proposal(plan, write_table)
