"""Capabilities: work on a project with others; history, undo, trash."""

from typing import Annotated

from pydantic import Field

from kiln_mcp.capability import Effect, Result, capability
from kiln_mcp.projects.references import ProjectReference
from kiln_mcp.projects.run_service import RunId
from kiln_mcp.workspace import Workspace
from storage import TaskRun
from storage.sharing.sharing import Sharing

_SHOWN_CHARACTERS = 200


class Shared(Result):
    """A project that has a history."""

    folder: str
    next_step: str


class OpenQuestion(Result):
    """Something that people must decide: one field, two values."""

    id: str
    question: str
    choices: list[str]


class Synced(Result):
    """What a sync did."""

    saved: str
    received: str
    sent: bool
    waiting: int
    offline: str
    signed: str
    questions: list[OpenQuestion]


class Decided(Result):
    """What is still to be decided."""

    still_open: int


class ChangeEntry(Result):
    """One change of a run."""

    change: str
    who: str
    when: str
    done: str
    fields: list[str]


class History(Result):
    """The changes of a run, the latest first."""

    changes: list[ChangeEntry]


class Undone(Result):
    """A change that was taken back."""

    run: str
    change: str


class TrashedRecord(Result):
    """A deleted record."""

    key: str
    kind: str
    name: str
    deleted_at: str
    deleted_by: str


class Trash(Result):
    """What is in the trash, the latest first."""

    records: list[TrashedRecord]


class TrashEmptied(Result):
    """How many records are gone for good."""

    gone: int


@capability(effect=Effect.WRITES, title="Share a project", reaches_out=True)
async def share_project(
    workspace: Workspace,
    project: ProjectReference,
    address: Annotated[
        str | None,
        Field(description="Address of a git repository, without password; none for history only."),
    ] = None,
) -> Shared:
    """Begin a project's history and say where others find it. Then call sync_project."""
    store = await workspace.open_project(project)
    await Sharing(store).share(address)
    return Shared(folder=str(store.folder), next_step="sync_project: save the history and send it.")


@capability(effect=Effect.WRITES, title="Sync a project", reaches_out=True)
async def sync_project(workspace: Workspace, project: ProjectReference) -> Synced:
    """Save the history of what was done here, bring in what others did, and send it all.

    Changes of different fields never clash. Two values of one field become a question: ask the
    person and call decide_question. Without a connection the work stays here until the next sync.
    """
    store = await workspace.open_project(project)
    report = await Sharing(store).sync()
    return Synced(
        saved=report.saved,
        received=report.received,
        sent=report.sent,
        waiting=report.waiting,
        offline=report.offline,
        signed=report.signed,
        questions=[
            OpenQuestion(
                id=question.id,
                question=question.text,
                choices=[choice.shown for choice in question.choices],
            )
            for question in report.questions
        ],
    )


@capability(effect=Effect.WRITES, title="Decide a question")
async def decide_question(
    workspace: Workspace,
    project: ProjectReference,
    question: Annotated[str, Field(description="The question's id, from sync_project.")],
    choice: Annotated[
        int, Field(ge=1, le=2, description="1 for its first choice, 2 for the other.")
    ],
) -> Decided:
    """Decide between two people's values of one field, as the person wants it."""
    store = await workspace.open_project(project)
    sharing = Sharing(store)
    await sharing.decide(question, choice - 1)
    return Decided(still_open=len(await sharing.questions()))


@capability(effect=Effect.READS, title="Show a run's history")
async def run_history(workspace: Workspace, project: ProjectReference, run: RunId) -> History:
    """Say who changed a run, when, and what, the latest first."""
    store = await workspace.open_project(project)
    found = await store.get(TaskRun, run)
    entries = await Sharing(store).history(found.saved.path)
    return History(
        changes=[
            ChangeEntry(
                change=entry.change,
                who=entry.who,
                when=entry.when.isoformat(),
                done=entry.done,
                fields=[
                    _short(f"{field.field}: {field.before!r} → {field.after!r}")
                    for field in entry.fields
                ],
            )
            for entry in entries
        ]
    )


@capability(effect=Effect.WRITES, title="Undo a change")
async def undo_change(
    workspace: Workspace,
    project: ProjectReference,
    run: RunId,
    change: Annotated[str, Field(description="The change's id, from run_history.")],
) -> Undone:
    """Take one change of a run back; later changes of other fields stay."""
    store = await workspace.open_project(project)
    found = await store.get(TaskRun, run)
    await Sharing(store).undo(change, found.saved.path)
    return Undone(run=run, change=change)


@capability(effect=Effect.WRITES, title="Delete runs")
async def delete_runs(
    workspace: Workspace,
    project: ProjectReference,
    runs: Annotated[list[str], Field(min_length=1, max_length=500, description="The runs' ids.")],
) -> Trash:
    """Put runs into the trash, from where put_back returns them."""
    store = await workspace.open_project(project)
    async with store.transaction() as change:
        for run in dict.fromkeys(runs):
            change.delete(await store.get(TaskRun, run))
    return await list_trash(workspace, project)


@capability(effect=Effect.READS, title="List the trash")
async def list_trash(workspace: Workspace, project: ProjectReference) -> Trash:
    """Say what was deleted and can be put back."""
    store = await workspace.open_project(project)
    return Trash(
        records=[
            TrashedRecord(
                key=one.key,
                kind=one.kind,
                name=one.label,
                deleted_at=one.deleted_at.isoformat(),
                deleted_by=one.deleted_by,
            )
            for one in await store.trash()
        ]
    )


@capability(effect=Effect.WRITES, title="Put back from the trash")
async def put_back(
    workspace: Workspace,
    project: ProjectReference,
    key: Annotated[str, Field(description="The key, from list_trash.")],
) -> Trash:
    """Put a deleted record back where it was, with all that was below it."""
    store = await workspace.open_project(project)
    await store.put_back(key)
    return await list_trash(workspace, project)


@capability(effect=Effect.DESTROYS, title="Empty the trash")
async def empty_trash(workspace: Workspace, project: ProjectReference) -> TrashEmptied:
    """Take away for good what is in the trash."""
    store = await workspace.open_project(project)
    return TrashEmptied(gone=await store.empty_trash())


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
