"""Capabilities: show who changed what, undo changes, delete to the trash and restore."""

from collections.abc import Collection, Mapping
from typing import Annotated

import anyio.to_thread
from pydantic import Field

from kiln_mcp.approvals.plan import Plan
from kiln_mcp.projects.history.entries import (
    ChangeEntry,
    TrashedRecord,
    change_entry,
    trashed_record,
)
from kiln_mcp.projects.project_references import ProjectReference
from kiln_mcp.projects.records.record_kinds import (
    Kind,
    RecordToDelete,
    find_all,
    find_record,
    type_name_of,
)
from kiln_mcp.workbench.answer_size import fitting_page
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
from storage.bulk_changes import BATCH
from storage.collaboration.record_changes import noun
from storage.collaboration.sync import Sharing
from storage.commits.trash import TrashEntry
from storage.errors import InvalidValue, NextStep, RecordNotFound, UnreadableRecord
from storage.format.layout import folder_of
from storage.record_references import Surroundings, surroundings
from storage.records.handles import id_in_reference
from storage.text.excerpts import excerpts

_MOST_SHOWN = 500

OptionalKind = Annotated[
    Kind | None, Field(description="The record's kind; left out, with `record`, for all.")
]
OptionalRecord = Annotated[str | None, Field(description="The record's id or name.")]


class History(Result):
    """The changes of a record or of the project, the latest first."""

    not_synced_yet: str | None = Field(
        description="What was done in the project since the last sync."
    )
    changes: list[ChangeEntry]
    next_cursor: str | None = None


class Undone(Result):
    """A change that was undone."""

    change: str
    done: str


class RestoredRecord(Result):
    """A record that is back where it was."""

    record: TrashedRecord
    remaining: int


class Deleted(Result):
    """What went to the trash, and what still points to it."""

    deleted: int
    records: list[TrashedRecord] = Field(description="The first of them; find lists all.")
    referrers: str | None
    next: list[NextStep]


class TrashEmptied(Result):
    """How many records are gone for good."""

    removed: int


@capability(
    effect=Effect.READS,
    title="Show the history",
    discovery=Discovery(
        Heading.TEAM,
        "log, edited, edits, changes, author, versions, earlier, previous, old, audit, audit "
        "trail, blame, timeline, diff, commits, activity, since yesterday, last week, happened, "
        "touched, modified, who broke, who did, who wrote, who deleted, when was, why, reason, "
        "last changes, recent, record of changes, list of changes, how did it look, before, "
        "originally, evolution, of the, colleague, people, past, past versions, days ago",
        toolset=Toolset.TEAM,
    ),
)
async def show_history(
    workspace: Workspace,
    project: ProjectReference,
    kind: OptionalKind = None,
    record: OptionalRecord = None,
    limit: Annotated[int, Field(ge=1, le=200, description="The most changes.")] = 20,
    cursor: Annotated[str | None, Field(description="The last next_cursor.")] = None,
) -> History:
    """Say who changed what and when, the latest first: in the project, or of one record.

    For one record, which may be deleted, each changed field is shown. undo_change undoes a change.
    """
    store = await workspace.open_project(project)
    sharing = Sharing(store)
    path = await _path_of(store, kind, record)
    unsaved_changes = await sharing.unsaved_changes() or None

    async def find_page(limit: int) -> History:
        page = await sharing.history(path, limit, cursor)
        return History(
            not_synced_yet=unsaved_changes,
            changes=[change_entry(entry) for entry in page.entries],
            next_cursor=page.next_cursor,
        )

    return await fitting_page(workspace.answer_tokens, limit, "changes", find_page)


@capability(
    effect=Effect.DESTROYS,
    title="Undo a change",
    discovery=Discovery(
        Heading.TEAM,
        "revert, roll back, rollback, go back, back out, reset, earlier version, "
        "previous, old, before, mistake, oops, wrong edit, yesterday, this morning, last edit, "
        "cancel an edit, take it back, didn't mean, did not want, wrong, accidentally, by "
        "mistake, changed by accident, change back, as it was, how it was, old version, previous "
        "version, restore version, last thing, last step, latest change, my change, his change, "
        "this change, reverse, annul, drop change, was better before, put back old",
        toolset=Toolset.TEAM,
    ),
)
async def undo_change(
    workspace: Workspace,
    project: ProjectReference,
    change: Annotated[
        str,
        Field(description="The change's id, from show_history, or 'unsynced': what is not synced."),
    ],
    kind: OptionalKind = None,
    record: OptionalRecord = None,
) -> Proposal[Undone]:
    """Undo a change, all of it or what it did to one record; later changes stay.

    What the change added goes to the trash, for which it asks first. What it deleted comes back.
    It refuses if later changes touch the same fields.
    """
    store = await workspace.open_project(project)
    sharing = Sharing(store)
    undo = await sharing.undo_plan(change, await _path_of(store, kind, record))
    plan = Plan(
        f"Undo a change: {undo.summary}. What goes to the trash can be put back.",
        far_reaching=undo.trash_count > 0,
    )

    async def undo_it() -> Undone:
        await sharing.apply_undo(undo)
        return Undone(change=change, done=undo.summary)

    return Proposal(plan, undo_it)


@capability(
    effect=Effect.DESTROYS,
    title="Delete records",
    discovery=Discovery(
        Heading.TEAM,
        "delete, remove, discard, throw away, drop, get rid of, clean up, cleanup, bin, "
        "duplicate, duplicates, obsolete, old, unused, junk, eliminate, erase, take out, remove "
        "the, remove an, broken, wrong, test entries, not needed, no longer needed, don't need, "
        "all from, imported, generated, outdated, mistaken, empty ones, half of, everything, "
        "project record, examples, spec",
        toolset=Toolset.TEAM,
    ),
)
async def delete_records(
    workspace: Workspace,
    project: ProjectReference,
    kind: Annotated[Kind, Field(description="What kind of records.")],
    records: Annotated[
        list[str], Field(min_length=1, max_length=100_000, description="Their ids or names.")
    ],
) -> Proposal[Deleted]:
    """Put records of a kind into the trash, with all below them; restore brings them back.

    All of them or none; above a thousand, this holds for each thousand in the order given.
    It asks first if other records lie below them or refer to them.
    """
    store = await workspace.open_project(project)
    targets_by_path = {target.path: target for target in await find_all(store, kind, records)}
    around = await _surroundings(store, type_name_of(kind), list(targets_by_path.values()))
    warning = _surroundings_text(around) + await _copies_text(store, targets_by_path)
    count = len(targets_by_path)
    plan = Plan(
        f"Put {count} {noun(type_name_of(kind), count)} into the trash{warning}. "
        "What is in the trash can be put back.",
        far_reaching=bool(warning),
    )

    async def put_away() -> Deleted:
        targets, entries = list(targets_by_path.values()), list[TrashEntry]()
        for begin in range(0, count, BATCH):
            async with store.transaction() as change:
                batch = targets[begin : begin + BATCH]
                entries += [target.move_to_trash(change) for target in batch]
            done = len(entries)
            await workspace.report(done, count, f"Deleted {done} of {count} records.")
        return Deleted(
            deleted=len(entries),
            records=[trashed_record(entry) for entry in entries[:_MOST_SHOWN]],
            referrers=_counts_text(around.referring) or None,
            next=[
                NextStep(
                    tool="restore",
                    reason="undo it; each record has a key of its own",
                    arguments={"key": entries[0].key},
                ),
                NextStep(tool="sync_project", reason="delete it for the others too"),
            ],
        )

    return Proposal(plan, put_away)


@capability(
    effect=Effect.WRITES,
    title="Restore from the trash",
    discovery=Discovery(
        Heading.TEAM,
        "recover, bring back, get back, put back, removed, lost, accident, accidentally, by "
        "mistake, trash, recycle bin, rescue, retrieve, undelete, I deleted, deleted by, removed "
        "the wrong, wrong one, get it back, need it again, again, gone, disappeared, vanished, "
        "missing, accidentally deleted, unintentionally, out of the trash, reactivate, resurrect, "
        "bring it back",
        toolset=Toolset.TEAM,
    ),
)
async def restore(
    workspace: Workspace,
    project: ProjectReference,
    key: Annotated[str, Field(description="Its key, from find with the kind trash.")],
) -> RestoredRecord:
    """Undelete: put a deleted record back where it was, with all that was below it."""
    store = await workspace.open_project(project)
    record = trashed_record(await store.restore(key))
    return RestoredRecord(record=record, remaining=len(await store.trash()))


@capability(
    effect=Effect.DESTROYS,
    title="Empty the trash",
    discovery=Discovery(
        Heading.TEAM,
        "erase, purge, wipe, destroy, delete for ever, forever, permanently, permanent, "
        "irrevocably, clear, bin, recycle bin, free disk space, privacy, GDPR, deleted, really "
        "delete, delete for real, completely, fully, finally, unrecoverable, gone for good, get "
        "rid of for good, remove from disk, sensitive, secret, leaked, confidential, right to be "
        "forgotten, compliance, empty, clean, trashed, storage",
        toolset=Toolset.TEAM,
    ),
)
async def empty_trash(workspace: Workspace, project: ProjectReference) -> Proposal[TrashEmptied]:
    """Remove the records in the trash for good."""
    store = await workspace.open_project(project)
    count = len(await store.trash())
    subject = "1 record" if count == 1 else f"{count} records"
    plan = Plan(f"Remove {subject} in the trash for good.", irreversible=count > 0)

    async def remove() -> TrashEmptied:
        return TrashEmptied(removed=await store.empty_trash())

    return Proposal(plan, remove)


async def _path_of(store: ProjectStore, kind: Kind | None, record: str | None) -> str | None:
    """Return the file of a record, also of a deleted one; None if the project is meant.

    Raises:
        Refusal: One of the two is missing.
        storage.errors.RecordNotFound: There is none, and never was.
    """
    if kind is None and record is None:
        return None
    if kind is None or record is None:
        raise InvalidValue(
            "Give both `kind` and `record` for one record, or neither for the whole project."
        )
    try:
        return (await find_record(store, kind, record)).saved.path
    except UnreadableRecord as error:
        return error.path  # its history is what mends it
    except RecordNotFound:
        type_name = type_name_of(kind)
        reference = id_in_reference(type_name, record)
        path = await Sharing(store).deleted_path(type_name, reference)
        if path is None:
            raise
        return path


async def _copies_text(store: ProjectStore, paths: Collection[str]) -> str:
    """Return a sentence about conflict copies that take the place of records; "" for none."""
    folders = [
        copy.path for copy in await store.copies() if copy.is_folder and copy.record in paths
    ]
    if not folders:
        return ""
    return (
        f". Conflict copies take their place then, unless they are settled first: "
        f"{excerpts(folders)}"
    )


async def _surroundings(
    store: ProjectStore, kind: str, targets: list[RecordToDelete]
) -> Surroundings:
    ids = [target.id for target in targets]
    folders = [str(folder_of(target.path)) for target in targets]
    return await anyio.to_thread.run_sync(surroundings, store.folder, kind, ids, folders)


def _surroundings_text(around: Surroundings) -> str:
    """Return the records below and the referring records as a clause; "" if there are none."""
    parts: list[str] = []
    if around.below:
        parts.append(f", with {_counts_text(around.below)} below")
    if around.referring:
        parts.append(f". They are referred to by {_counts_text(around.referring)}")
    return "".join(parts)


def _counts_text(counts: Mapping[str, int]) -> str:
    pairs = sorted(counts.items(), key=lambda pair: pair[1], reverse=True)
    return ", ".join(f"{count} {noun(kind, count)}" for kind, count in pairs)
