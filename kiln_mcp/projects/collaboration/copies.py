"""Capability: settle what cloud drives leave beside records when two versions meet."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated

import anyio.to_thread
from pydantic import Field

from kiln_mcp.approvals.plan import Plan
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
from storage import ProjectStore
from storage.collaboration.copy_settlement import CopyChoice, Settlement, settle, settlement
from storage.collaboration.record_changes import field_texts, noun
from storage.conflict_copies import ConflictCopy
from storage.errors import NextStep, RecordNotFound
from storage.format.copies import KIND
from storage.text.excerpts import with_remainder


class CopySettled(Result):
    """What became of a copy."""

    path: str
    done: str
    remaining: int = Field(description="Copies that wait to be settled.")
    next: list[NextStep]


def copies_said(copies: Sequence[ConflictCopy], limit: int) -> list[str]:
    """Return the first copies as sentences, and how many more there are."""
    sentences = [f"{copy.path}: {_description(copy)}." for copy in copies[:limit]]
    return with_remainder(sentences, len(copies))


def _description(copy: ConflictCopy) -> str:
    kind = noun(PurePosixPath(copy.record).stem)
    subject = f"the folder of the {kind}" if copy.is_folder else f"a file of the {kind}"
    return f"a conflict copy of {subject}, {copy.original}. It is neither read nor counted"


@capability(
    effect=Effect.DESTROYS,
    title="Settle a conflict copy",
    discovery=Discovery(
        Heading.TEAM,
        "conflicted copy, conflict copies, Dropbox, Google Drive, OneDrive, iCloud, Syncthing, "
        "synced folder, two versions, discard, keep, stray, delete it, copies, copy of a record, "
        "appeared, (1), second version, cloud drive, shared folder, take over, accept, reject, "
        "delete the copy, keep the copy, both versions, duplicate record, warning, conflicted, "
        "name of another computer, leftovers",
        toolset=Toolset.TEAM,
    ),
)
async def settle_copy(
    workspace: Workspace,
    project: ProjectReference,
    path: Annotated[str, Field(description="The copy's path, from describe_project.")],
    choice: Annotated[
        CopyChoice,
        Field(
            description="'merge': its record gets what only the copy has, and two values of one "
            "field become a conflict; 'replace': the copy takes the record's place; 'discard'."
        ),
    ],
) -> Proposal[CopySettled]:
    """Take in a copy that a cloud drive left beside a record, or throw it away.

    Such a copy is never read, asked or counted. The plan shows what changes. The copy, and what it
    replaces, go to the trash; undo_change with 'unsynced' undoes the rest if there is a history.
    """
    store = await workspace.open_project(project)
    target = await _find(store, path)
    outcome = await anyio.to_thread.run_sync(settlement, store.folder, target, choice)
    text = _text(outcome)
    plan = Plan(f"{text} What goes to the trash can be put back.", far_reaching=True)

    async def carry_out() -> CopySettled:
        await settle(store, outcome)
        copies = await store.copies()
        return CopySettled(
            path=target.path, done=text, remaining=len(copies), next=_next(outcome, copies)
        )

    return Proposal(plan, carry_out)


async def _find(store: ProjectStore, reference: str) -> ConflictCopy:
    """Return the copy at a path.

    Raises:
        RecordNotFound: There is none.
    """
    await store.look_again()
    copies = {copy.path: copy for copy in await store.copies()}
    name = reference.strip().replace("\\", "/").removesuffix("/")
    if name not in copies:
        raise RecordNotFound(KIND, reference, list(copies))
    return copies[name]


def _next(outcome: Settlement, copies: Sequence[ConflictCopy]) -> list[NextStep]:
    steps: list[NextStep] = []
    if outcome.conflicts:
        steps.append(NextStep(tool="describe_project", reason="see the conflicts, to decide them"))
    if copies:
        steps.append(
            NextStep(
                tool="settle_copy", reason="settle the next one", arguments={"path": copies[0].path}
            )
        )
    return steps or [
        NextStep(tool="find", reason="see what went to the trash", arguments={"kind": "trash"})
    ]


def _text(outcome: Settlement) -> str:
    """Return what settling a copy does, in sentences."""
    copy = outcome.copy
    if outcome.choice is CopyChoice.DISCARD:
        return f"Put the conflict copy {copy.path} into the trash; {copy.original} stays as it is."
    fields = field_texts(outcome.fields)
    changes = f" Fields: {'; '.join(fields)}." if fields else ""
    if outcome.choice is CopyChoice.REPLACE:
        rest = "with all below it" if copy.is_folder else "as it is now"
        return (
            f"Let the conflict copy {copy.path} take the place of {copy.original}, which goes to "
            f"the trash {rest}.{changes}"
        )
    summary = f" {outcome.summary}." if outcome.summary else ""
    if not summary and not fields and not outcome.conflicts:
        summary = " It has nothing that the record lacks."
    conflicts = ""
    if outcome.conflicts:
        names = ", ".join(dict.fromkeys(outcome.conflicts))
        conflicts = f" The record keeps its value, and a conflict is opened, about: {names}."
    return (
        f"Merge the conflict copy {copy.path} into {copy.original}, then put it into the trash."
        f"{summary}{changes}{conflicts}"
    )
