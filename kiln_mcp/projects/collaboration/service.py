"""Capabilities: work on a project with others."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.projects.collaboration.copies import copies_said
from kiln_mcp.projects.project_references import ProjectReference
from kiln_mcp.workbench.capability import (
    Discovery,
    Effect,
    Heading,
    Proposal,
    Result,
    Toolset,
    capability,
)
from kiln_mcp.workbench.workspace import Workspace
from storage import ProjectStore, RecordProblem
from storage.collaboration.conflicts import Conflict
from storage.collaboration.sync import Sharing
from storage.conflict_copies import ConflictCopy
from storage.errors import NextStep
from storage.git.safety import check_address
from storage.text.excerpts import with_remainder

_MOST_NAMES = 10


class OpenConflict(Result):
    """Something that people must decide: one field, two values."""

    id: str
    question: str
    choices: list[str]


class SyncReport(Result):
    """What a sync did."""

    saved: str | None = Field(description="What was done here since the last sync.")
    incoming: str | None = Field(description="What others did.")
    is_sent: bool | None = Field(
        description="Whether all is with the others; none if there are none."
    )
    waiting: int | None = Field(description="How many changes are not with the others yet.")
    offline: str | None = Field(description="Why the others could not be reached, if so.")
    notice: str | None = Field(description="Where the history is kept, if not with the others.")
    signature: str | None = Field(description="How changes are signed where git knows no name.")
    conflicts: list[OpenConflict]
    unreadable: list[str] = Field(
        description="Records that cannot be used, here and with the others; undo_change mends them."
    )
    copies: list[str] = Field(
        description="Conflict copies of cloud drives. They were not sent; settle_copy settles them."
    )
    unshared_files: list[str] = Field(
        description="Files in the folder that are no part of the project and were not sent."
    )


def _without_copies(paths: Sequence[str], copies: Sequence[ConflictCopy]) -> list[str]:
    """Return the files that are no copies and lie in none."""
    folders = tuple(f"{copy.path}/" for copy in copies)
    files = {copy.path for copy in copies}
    return [path for path in paths if path not in files and not path.startswith(folders)]


class DecisionReport(Result):
    """What is still to be decided."""

    still_open: int
    next: list[NextStep]


def open_conflicts(conflicts: Sequence[Conflict]) -> list[OpenConflict]:
    """Return conflicts as the doors show them."""
    return [
        OpenConflict(
            id=conflict.id,
            question=conflict.text,
            choices=[f"{at}: {option}" for at, option in enumerate(conflict.options, start=1)],
        )
        for conflict in conflicts
    ]


def faults_said(faults: Sequence[RecordProblem], limit: int = _MOST_NAMES) -> list[str]:
    """Return the first faults, each file's once, and how many more there are."""
    sentences = {fault.path: f"{fault.path}: {fault.reason}." for fault in faults}
    return with_remainder([sentences[path] for path in sorted(sentences)[:limit]], len(sentences))


@capability(
    effect=Effect.WRITES,
    title="Sync a project",
    sends_out=True,
    discovery=Discovery(
        Heading.TEAM,
        "push, pull, fetch, send, upload, publish, commit, git, GitHub, GitLab, remote, "
        "repository, merge, team, teammates, colleagues, coworkers, collaborate, collaboration, "
        "together, latest changes, up to date, invite, exchange, coworker, colleague, teammate, "
        "changed things, get them, get the newest, newest version, others, share with, same "
        "project, work with, back to, save my work, store on, online, server, cloud repository, "
        "branch, checkout, remote address, send everything, receive, exchange changes, update "
        "from",
        toolset=Toolset.TEAM,
    ),
)
async def sync_project(
    workspace: Workspace,
    project: ProjectReference,
    remote: Annotated[
        str | None,
        Field(
            description="Address of the git repository to share it in from now on, without "
            "password; left out: the one it has, or a history on this machine alone."
        ),
    ] = None,
) -> Proposal[SyncReport]:
    """Share a project with others: save its history, bring in what they did, and send it all.

    Changes of different fields never clash. Two values of one field become a conflict: ask the
    person its question and call decide_conflict. Without a connection the work stays here until
    the next sync.
    """
    if remote is not None:
        check_address(remote)
    store = await workspace.open_project(project)
    sharing = Sharing(store)
    is_new = not await sharing.has_history()
    destinations = [] if is_new else await sharing.destinations()
    if remote is not None:
        destinations.append(remote)
    plan = Plan(
        f"Sync the project {store.project.name!r}: send changes and bring in others'.",
        destination=", ".join(dict.fromkeys(destinations)),
    )

    async def sync() -> SyncReport:
        if is_new or remote is not None:
            await sharing.share(remote)
        return await _sync(store)

    return Proposal(plan, sync)


async def _sync(store: ProjectStore) -> SyncReport:
    report = await Sharing(store).sync()
    copies = await store.copies()
    unshared_files = _without_copies(report.untracked_files, copies)
    return SyncReport(
        saved=report.outgoing or None,
        incoming=report.incoming or None,
        is_sent=report.is_sent if report.is_shared else None,
        waiting=report.unsent_count or None,
        offline=report.offline_reason or None,
        notice=report.notice or None,
        signature=report.signature_note or None,
        conflicts=open_conflicts(report.conflicts),
        unreadable=faults_said(await store.unreadable()),
        copies=copies_said(copies, _MOST_NAMES),
        unshared_files=with_remainder(unshared_files[:_MOST_NAMES], len(unshared_files)),
    )


@capability(
    effect=Effect.WRITES,
    title="Decide a conflict",
    discovery=Discovery(
        Heading.TEAM,
        "merge conflict, conflicts, conflicting, resolve, solve, mine, ours, theirs, keep, both "
        "changed, edited the same, clash, choose, pick, version, disagree, after a sync, my "
        "version, her version, his version, their version, not hers, not his, take mine, take "
        "theirs, use theirs, colliding, collision, both edited, same field, different values, "
        "which one wins, changed twice, accept, override, after pulling, settle, open conflict",
        toolset=Toolset.TEAM,
    ),
)
async def decide_conflict(
    workspace: Workspace,
    project: ProjectReference,
    conflict: Annotated[str, Field(description="The conflict's id, from sync_project.")],
    choice: Annotated[
        int, Field(ge=1, le=3, description="1 for the first of its choices, and so on.")
    ],
) -> DecisionReport:
    """Decide between two people's values of one field, as the person wants it."""
    store = await workspace.open_project(project)
    sharing = Sharing(store)
    await sharing.decide(conflict, choice - 1)
    conflicts = await sharing.conflicts()
    return DecisionReport(
        still_open=len(conflicts),
        next=[
            NextStep(
                tool="decide_conflict",
                reason="decide the next one, as the person wants it",
                arguments={"conflict": conflicts[0].id},
            )
            if conflicts
            else NextStep(tool="sync_project", reason="tell the others what was decided")
        ],
    )
