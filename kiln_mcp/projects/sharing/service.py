"""Capabilities: work on a project with others."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.projects.references import ProjectReference
from kiln_mcp.workbench.capability import Effect, Proposal, Result, capability
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, RecordProblem
from storage.git.safety import check_address
from storage.sharing.conflicts import Conflict
from storage.sharing.sync import Sharing

_MOST_NAMES = 10


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

    saved: str | None = Field(description="What was done here since the last sync.")
    received: str | None = Field(description="What others did.")
    sent: bool | None = Field(description="Whether all is with the others; none if there are none.")
    waiting: int | None = Field(description="How many changes are not with the others yet.")
    offline: str | None = Field(description="Why the others could not be reached, if so.")
    notice: str | None = Field(description="Where the history is kept, if not with the others.")
    signed: str | None = Field(description="How changes are signed where git knows no name.")
    questions: list[OpenQuestion]
    unreadable: list[str] = Field(
        description="Records that cannot be used, here and with the others; undo_change mends them."
    )
    left_out: list[str] = Field(
        description="Files in the folder that are no part of the project and were not sent."
    )


class Decided(Result):
    """What is still to be decided."""

    still_open: int
    next_step: str


def open_questions(questions: Sequence[Conflict]) -> list[OpenQuestion]:
    """Return questions as the doors show them."""
    return [
        OpenQuestion(
            id=question.id,
            question=question.text,
            choices=[f"{at}: {one}" for at, one in enumerate(question.options, start=1)],
        )
        for question in questions
    ]


def faults_said(faults: Sequence[RecordProblem], most: int = _MOST_NAMES) -> list[str]:
    """Return the first faults, each file's once, and how many more there are."""
    said = {fault.path: f"{fault.path}: {fault.reason}." for fault in faults}
    return _first([said[path] for path in sorted(said)], most)


def _first(names: Sequence[str], most: int = _MOST_NAMES) -> list[str]:
    more = len(names) - most
    return [*names[:most], f"… and {more} more"] if more > 0 else list(names)


@capability(effect=Effect.WRITES, title="Share a project", sends_out=True)
async def share_project(
    workspace: Workspace,
    project: ProjectReference,
    address: Annotated[
        str | None,
        Field(description="Address of a git repository, without password; none for history only."),
    ] = None,
) -> Proposal[Shared]:
    """Begin a project's history and say where others find it. Then call sync_project."""
    store = await workspace.open_project(project)
    if address is not None:
        check_address(address)
    plan = Plan(f"Share the project {store.project.name!r}.", destination=address or "")

    async def share() -> Shared:
        await Sharing(store).share(address)
        return Shared(
            folder=str(store.folder), next_step="sync_project: save the history and send it."
        )

    return Proposal(plan, share)


@capability(effect=Effect.WRITES, title="Sync a project", sends_out=True)
async def sync_project(workspace: Workspace, project: ProjectReference) -> Proposal[Synced]:
    """Save the history of what was done here, bring in what others did, and send it all.

    Changes of different fields never clash. Two values of one field become a question: ask the
    person and call decide_question. Without a connection the work stays here until the next sync.
    """
    store = await workspace.open_project(project)
    destination = ", ".join(await Sharing(store).destinations())
    summary = f"Sync the project {store.project.name!r}: send changes and bring in others'."
    return Proposal(Plan(summary, destination=destination), partial(_sync, store))


async def _sync(store: ProjectStore) -> Synced:
    report = await Sharing(store).sync()
    return Synced(
        saved=report.outgoing or None,
        received=report.incoming or None,
        sent=report.is_sent if report.is_shared else None,
        waiting=report.unsent_count or None,
        offline=report.offline_reason or None,
        notice=report.notice or None,
        signed=report.signature_note or None,
        questions=open_questions(report.conflicts),
        unreadable=faults_said(await store.unreadable()),
        left_out=_first(report.untracked_files),
    )


@capability(effect=Effect.WRITES, title="Decide a question")
async def decide_question(
    workspace: Workspace,
    project: ProjectReference,
    question: Annotated[str, Field(description="The question's id, from sync_project.")],
    choice: Annotated[
        int, Field(ge=1, le=3, description="1 for the first of its choices, and so on.")
    ],
) -> Decided:
    """Decide between two people's values of one field, as the person wants it."""
    store = await workspace.open_project(project)
    sharing = Sharing(store)
    await sharing.decide(question, choice - 1)
    left = len(await sharing.conflicts())
    return Decided(
        still_open=left,
        next_step="decide_question: decide the next one."
        if left
        else "sync_project: tell the others what was decided.",
    )
