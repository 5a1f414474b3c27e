"""Capabilities: bring projects and runs in, and send them out."""

from pathlib import Path
from typing import Annotated

import anyio
from pydantic import Field

from kiln_mcp.capability import Effect, Result, capability
from kiln_mcp.projects.references import ProjectReference, TaskReference, task_of
from kiln_mcp.projects.run_service import Filter
from kiln_mcp.workspace import Workspace
from storage import ProjectStore, Task, TaskRun, exchange
from storage.exchange import TableFormat, parse_runs, runs_as_table
from storage.index.queries import RunQuery

_BATCH = 200
_MOST_NAMED = 20


class ProjectImported(Result):
    """A project that was brought in."""

    project: str
    folder: str
    next_step: str


class ProjectExported(Result):
    """Where the archive is, and what is not in it."""

    file: str
    files: int
    megabytes: float
    left_out: list[str] = Field(description="What lies in the folder and is not in the archive.")


class ImportReport(Result):
    """What came of an import."""

    imported: int
    tags: list[str]
    bad_rows: list[str]


class ExportReport(Result):
    """Where the table is."""

    file: str
    runs: int


@capability(effect=Effect.WRITES, title="Import a project", reaches_out=True)
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
) -> ProjectImported:
    """Bring a project into a new folder: a copy of a folder or archive, or a clone from git.

    A copy has no git history and no trash; a clone keeps its history and can be synced.
    """
    origin = source if exchange.is_address(source) else str(workspace.place(source))
    place = await exchange.import_project(origin, workspace.place(folder), name=name)
    store = await workspace.open_project(str(place))
    return ProjectImported(
        project=store.project.name,
        folder=str(store.folder),
        next_step="describe_project: see what is there.",
    )


@capability(effect=Effect.WRITES, title="Export a project")
async def export_project(
    workspace: Workspace,
    project: ProjectReference,
    file: Annotated[str, Field(description="Path of a new .zip file.")],
) -> ProjectExported:
    """Pack a project into a zip that import_project and Kiln open.

    Without git history, trash, and what the project's .gitignore names.
    """
    store = await workspace.open_project(project)
    packed = await exchange.export_project(store, workspace.place(file))
    more = len(packed.left_out) - _MOST_NAMED
    named = [*packed.left_out[:_MOST_NAMED], *([f"… and {more} more"] if more > 0 else [])]
    return ProjectExported(
        file=str(packed.file), files=packed.files, megabytes=packed.size / 1e6, left_out=named
    )


@capability(effect=Effect.WRITES, title="Import runs")
async def import_runs(
    workspace: Workspace,
    project: ProjectReference,
    file: Annotated[str, Field(description="Path of a .jsonl or .csv file on this machine.")],
    task: TaskReference = None,
    tags: Annotated[list[str] | None, Field(description="Tags for all of them.")] = None,
) -> ImportReport:
    """Import runs from a table with columns input and output, and if there tags, reasoning, rating.

    Bad rows are named one by one, and the good ones are kept.
    """
    store = await workspace.open_project(project)
    chosen = await task_of(store, task)
    place = anyio.Path(workspace.place(file))
    parsed = parse_runs(await place.read_bytes(), _format_of(place.name), place.name)
    more = tuple(tags or ())
    runs = [run.replace(tags=tuple(dict.fromkeys([*run.tags, *more]))) for run in parsed.runs]
    await _save_all(workspace, store, chosen, runs)
    return ImportReport(
        imported=len(runs),
        tags=list(more),
        bad_rows=[f"row {row.number}: {row.reason}" for row in parsed.bad_rows],
    )


@capability(effect=Effect.WRITES, title="Export runs")
async def export_runs(
    workspace: Workspace,
    project: ProjectReference,
    file: Annotated[str, Field(description="Path of a new .jsonl or .csv file.")],
    task: TaskReference = None,
    filter: Filter = "all",
) -> ExportReport:
    """Write runs of a task to a table that other programs read."""
    store = await workspace.open_project(project)
    chosen = await task_of(store, task)
    place = anyio.Path(workspace.place(file))
    form = _format_of(place.name)
    runs: list[TaskRun] = []
    cursor: str | None = None
    while True:
        page = await store.page_of_runs(
            chosen, RunQuery(filter_id=filter), order="oldest", limit=_BATCH, cursor=cursor
        )
        runs += page.records
        cursor = page.next_cursor
        if cursor is None:
            break
    await place.parent.mkdir(parents=True, exist_ok=True)
    async with await place.open("x", encoding="utf-8", newline="") as out:
        await out.write(runs_as_table(runs, form))
    return ExportReport(file=str(Path(await place.absolute())), runs=len(runs))


async def _save_all(
    workspace: Workspace, store: ProjectStore, task: Task, runs: list[TaskRun]
) -> None:
    for start in range(0, len(runs), _BATCH):
        async with store.transaction() as change:
            for run in runs[start : start + _BATCH]:
                change.save(run, task)
        done = min(start + _BATCH, len(runs))
        await workspace.report(done, len(runs), f"{done} of {len(runs)} runs imported")


def _format_of(name: str) -> TableFormat:
    return "csv" if name.lower().endswith(".csv") else "jsonl"
