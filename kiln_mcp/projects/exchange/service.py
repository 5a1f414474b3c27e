"""Capabilities: bring projects and runs in, and send them out."""

import json
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated

import anyio.to_thread
from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.projects.exchange.bad_rows import BadRowList
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
from storage.errors import NextStep, system_reason
from storage.exchange import RunTable, TableSource, new_run_table, open_source, save_rows
from storage.exchange.refusals import unusable_table
from storage.git.safety import check_address
from storage.index.queries import RunQuery

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


class ImportReport(Result):
    """What came of an import."""

    new_runs: int
    already_there: int = Field(
        description="Rows that an earlier import of this table into this task saved."
    )
    tags: list[str]
    bad_rows: list[str]
    all_bad_rows: str | None = Field(
        description="The file that names them all, one a line, where not all are named here."
    )
    columns_not_used: list[str]


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
            unpacked_files=_first(list(package.exclusions), _MOST_NAMED),
        )

    return Proposal(plan, pack)


@capability(
    effect=Effect.WRITES,
    title="Import runs",
    search_hint="load or upload a CSV, spreadsheet, logs, production traces, past conversations",
)
async def import_runs(
    workspace: Workspace,
    project: ProjectReference,
    file: Annotated[
        str, Field(description="Path of a .jsonl, .csv or .parquet file on this machine.")
    ],
    task: TaskReference = None,
    tags: Annotated[list[str] | None, Field(description="Tags for all of them.")] = None,
) -> ImportReport:
    """Import runs from a table with columns input and output, and if there tags, reasoning, rating.

    Also takes the other columns that export_runs writes; each run gets an id of its own. Bad rows
    are named one by one, beyond 500 in a file, and the good ones are kept. Importing the same table
    with the same tags again, also after an import that was cut off, adds only what is missing.
    """
    store = await workspace.open_project(project)
    task_record = await task_of(store, task)
    place = workspace.place(file)
    purpose = json.dumps([task_record.id, sorted(set(tags or []))])
    bad = BadRowList(workspace.settings.home / "imports", place.name)
    new_runs = row_count = repeat_count = 0
    async with _open_table(place) as source:
        table = RunTable(source, purpose, tuple(tags or ()))
        async with aclosing(save_rows(store, task_record, table)) as saved_batches:
            async for saved in saved_batches:
                await anyio.to_thread.run_sync(bad.add, saved.bad_rows)
                new_runs += saved.new_runs
                repeat_count += saved.repeats
                row_count += saved.row_count
                await workspace.report(row_count, None, f"{new_runs} of {row_count} rows imported")
    return ImportReport(
        new_runs=new_runs,
        already_there=repeat_count,
        tags=list(tags or ()),
        all_bad_rows=None if bad.file is None else str(bad.file),
        bad_rows=bad.sentences(),
        columns_not_used=_first(list(table.unknown_columns), _MOST_NAMED),
    )


@asynccontextmanager
async def _open_table(file: Path) -> AsyncGenerator[TableSource]:
    """Open a table that a person names.

    Raises:
        Refusal: It cannot be read.
    """
    with ExitStack() as stack:
        try:
            source = await anyio.to_thread.run_sync(stack.enter_context, open_source(file))
        except OSError as error:
            raise unusable_table(f"{file}: {system_reason(error)}") from error
        yield source


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
    """Write runs of a task to a table that other programs read and import_runs reads back.

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


def _first(texts: list[str], limit: int) -> list[str]:
    rest_count = len(texts) - limit
    return [*texts[:limit], f"… and {rest_count} more"] if rest_count > 0 else texts
