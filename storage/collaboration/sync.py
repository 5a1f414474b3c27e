"""Sync of a project with a shared git repository, its history, conflicts and undo."""

import logging
from dataclasses import dataclass

import anyio.to_thread

from storage.border import Reach
from storage.collaboration.branch import Branch
from storage.collaboration.choice_authors import with_authors
from storage.collaboration.conflict_files import open_conflict, open_conflicts
from storage.collaboration.conflicts import Conflict
from storage.collaboration.fetch import fetch_project
from storage.collaboration.history import HistoryEntry, HistoryPage, deleted_path, history_page
from storage.collaboration.resolution import resolution
from storage.collaboration.undo import Undo, undo_plan, undo_plan_of_unsaved
from storage.errors import WorkbenchError
from storage.git.errors import GitError, without_secrets
from storage.git.git import Git
from storage.git.safety import check_address
from storage.store import ProjectStore

__all__ = ["UNSYNCED", "HistoryEntry", "Sharing", "SyncOutcome", "fetch_project"]

_log = logging.getLogger(__name__)

_MOST_ROUNDS = 6
UNSYNCED = "unsynced"
"""What `Sharing.undo` takes in place of a change's id, for all changes since the last sync."""


@dataclass(frozen=True, slots=True)
class SyncOutcome:
    """What a sync did.

    Attributes:
        outgoing: A summary of what was done here since the last sync; "" for nothing.
        incoming: A summary of what others did; "" for nothing.
        is_shared: Whether the project has the address of a shared repository.
        is_sent: Whether everything done here is in the shared repository now.
        unsent_count: How many changes are not sent yet; 0 without a shared repository.
        offline_reason: Why the shared repository could not be reached; "" if it was.
        notice: Where the history is kept, if the others do not see it; "" otherwise.
        signature_note: How changes are signed if git knows no name; "" if it knows one.
        conflicts: The open conflicts.
        untracked_files: Files in the folder that are no part of the project and are not sent.
    """

    outgoing: str
    incoming: str
    is_shared: bool
    is_sent: bool
    unsent_count: int
    offline_reason: str
    notice: str
    signature_note: str
    conflicts: tuple[Conflict, ...]
    untracked_files: tuple[str, ...]


class Sharing:
    """The shared side of an open project.

    Args:
        store: The open project.
    """

    def __init__(self, store: ProjectStore) -> None:
        self._store = store
        self._git = Git(store.folder)
        self._branch = Branch(self._git)

    async def share(self, address: str | None = None) -> None:
        """Begin the project's history, and set the address of the shared repository.

        Raises:
            Refusal: The address holds a password, or git would take it for an option or program.
            UnsafeSettings: The folder has a history already whose settings run programs.
        """
        if address is not None:
            check_address(address)
        await self._store.run_exclusive(lambda _: self._branch.share(address))

    async def has_history(self) -> bool:
        """Return whether the project's history has begun."""
        return await anyio.to_thread.run_sync(self._branch.has_history)

    async def destinations(self) -> list[str]:
        """Return every address that a sync connects to, without passwords.

        Raises:
            Refusal: The project has no history yet.
            UnsafeSettings: The folder's git settings could run programs.
        """
        await self._check()
        addresses = await anyio.to_thread.run_sync(self._branch.destinations)
        return [without_secrets(address) for address in addresses]

    async def sync(self) -> SyncOutcome:
        """Save the history of what was done here, merge what others did, and push the result.

        Works offline: then only the first step happens, and a later sync does the rest. Others
        may write to the project while git uses the network.

        Raises:
            Refusal: The project has no history yet, what others share is not safe, or a local
                file lies at the place of a shared one. Nothing was received.
            UnsafeSettings: The folder's git settings could run programs.
            GitError: Git refused for another reason than being offline.
        """
        await self._check()
        outgoing = [await self._store.run_exclusive(self._branch.save)]
        incoming: list[str] = []
        offline_reason, is_sent = "", False
        is_shared = await anyio.to_thread.run_sync(self._branch.address) is not None
        if is_shared:
            try:
                is_sent = await self._exchange(outgoing, incoming)
            except GitError as error:
                if not error.is_unreachable:
                    raise
                offline_reason = str(error)
            finally:
                await self._store.reload()
        return SyncOutcome(
            outgoing="; ".join(filter(None, outgoing)),
            incoming="; ".join(filter(None, incoming)),
            is_shared=is_shared,
            is_sent=is_sent,
            unsent_count=await anyio.to_thread.run_sync(self._branch.unsent_count)
            if is_shared
            else 0,
            offline_reason=offline_reason,
            notice=await anyio.to_thread.run_sync(self._branch.notice),
            signature_note=(await anyio.to_thread.run_sync(self._branch.signature))[1],
            conflicts=tuple(await self.conflicts()),
            untracked_files=await anyio.to_thread.run_sync(self._branch.untracked_files),
        )

    async def save_history(self) -> None:
        """Save the history of what was done here; nothing if there is no usable history."""
        try:
            await self._check()
            await self._store.run_exclusive(self._branch.save)
        except WorkbenchError as error:
            _log.info("The history is not saved: %s", error)

    async def conflicts(self) -> list[Conflict]:
        """Return the open conflicts, with the authors of their values if known."""
        return await anyio.to_thread.run_sync(self._conflicts)

    def _conflicts(self) -> list[Conflict]:
        conflicts = open_conflicts(self._store.folder)
        if not conflicts:
            return []
        try:
            self._branch.check_safety()
            return with_authors(self._git, conflicts)
        except WorkbenchError as error:  # a project without a usable history has conflicts, too
            _log.info("The authors of conflicts are unknown: %s", error)
            return conflicts

    async def decide(self, conflict_id: str, choice: int) -> None:
        """Decide an open conflict by the number of one of its choices, 0 for the first.

        Raises:
            RecordNotFound: There is no such conflict.
            Refusal: It has no such choice.
        """
        folder = self._store.folder
        conflict = await anyio.to_thread.run_sync(open_conflict, folder, conflict_id)
        change = await anyio.to_thread.run_sync(resolution, folder, conflict, choice)
        await self._store.write(change.edits, change.moves, reach=Reach.SHARED)

    async def history(
        self, path: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> HistoryPage:
        """Return the changes of a record, or of the whole project, the latest first.

        Args:
            path: The record's file, within the project; None for the project.
            limit: The most changes.
            cursor: The cursor of the page before.

        Raises:
            Refusal: The project has no history yet, or there is no such page.
        """
        await self._check()
        return await anyio.to_thread.run_sync(history_page, self._git, path, limit, cursor)

    async def deleted_path(self, kind: str, reference: str) -> str | None:
        """Return the file of a deleted record by its id or name; None if there is none.

        Raises:
            Refusal: The project has no history yet.
        """
        await self._check()
        return await anyio.to_thread.run_sync(deleted_path, self._git, kind, reference)

    async def unsaved_changes(self) -> str:
        """Return a summary of what was done since the last sync; "" for nothing."""
        await self._check()
        return await self._store.run_exclusive(lambda _: self._branch.unsaved_changes())

    async def undo_plan(self, change: str, path: str | None = None) -> Undo:
        """Return the plan to undo a change, all of it or that of one record; nothing changes yet.

        `UNSYNCED` as the change means all that was done since the last sync. The project's own
        record is never removed.

        Raises:
            RecordNotFound: There is no such change, or it did nothing to this record.
            Refusal: There is nothing to undo, it is undone already, it began the project and did
                nothing else, or what it changed was changed again later.
        """
        await self._check()
        change = change.strip().casefold()
        if change != UNSYNCED:
            return await anyio.to_thread.run_sync(undo_plan, self._git, change, path)
        base, tree = await self._store.run_exclusive(self._branch.unsaved_tree)
        return await anyio.to_thread.run_sync(undo_plan_of_unsaved, self._git, base, tree, path)

    async def apply_undo(self, plan: Undo) -> None:
        """Undo a change as planned: its additions go to the trash, its deletions come back.

        What is not in the history yet is saved there first, so that the undo can be undone.

        Raises:
            StaleRevision: A file was changed since the plan was made.
        """
        if plan.is_of_unsaved:
            await self._store.run_exclusive(self._branch.save)
        await self._store.write(plan.change.edits, plan.change.moves, reach=Reach.SHARED)

    async def undo(self, change: str, path: str | None = None) -> str:
        """Undo a change; return a summary of what that did.

        Raises:
            storage.errors.WorkbenchError: It cannot be undone; see `undo_plan`.
        """
        plan = await self.undo_plan(change, path)
        await self.apply_undo(plan)
        return plan.summary

    async def _check(self) -> None:
        await anyio.to_thread.run_sync(self._branch.check_safety)

    async def _exchange(self, outgoing: list[str], incoming: list[str]) -> bool:
        """Merge and push until nothing is left to do; return whether all is sent."""
        for _ in range(_MOST_ROUNDS):
            await anyio.to_thread.run_sync(self._branch.fetch)
            name = await anyio.to_thread.run_sync(self._branch.remote_default_branch)
            if name is not None:
                await self._store.run_exclusive(lambda _, name=name: self._branch.rename(name))
            saved, merged = await self._store.run_exclusive(self._branch.merge_remote)
            outgoing.append(saved)
            incoming.append(merged)
            if await anyio.to_thread.run_sync(self._branch.push):
                return True
        return False
