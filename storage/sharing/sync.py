"""Share a project: keep its history, bring in what others did, send what was done here."""

import logging
from dataclasses import dataclass

import anyio.to_thread

from storage.border import Reach
from storage.errors import StorageError
from storage.git.errors import GitFailed, without_secrets
from storage.git.git import Git
from storage.git.safety import check_address
from storage.sharing.branch import Branch
from storage.sharing.conflicts import Question, decision, open_questions, question_named
from storage.sharing.fetch import fetch_project
from storage.sharing.history import HistoryEntry, change_entries, find_deleted
from storage.sharing.makers import with_makers
from storage.sharing.undo import Undo, undo_plan, undo_plan_of_unsaved
from storage.store import ProjectStore

__all__ = ["UNSYNCED", "HistoryEntry", "Sharing", "SyncReport", "fetch_project"]

_log = logging.getLogger(__name__)

_MOST_ROUNDS = 6
UNSYNCED = "unsynced"
"""What `Sharing.undo` takes for all that was done since the last sync."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did.

    Attributes:
        saved: What was done here since the last sync, in words; "" for nothing.
        received: What others did, in words; "" for nothing.
        is_shared: Whether the project has an address where others find it.
        sent: Whether everything done here is with the others now.
        waiting: How many changes wait to be sent; 0 where there is nobody to send them to.
        offline: Why the others could not be reached; "" when they were, or there are none.
        notice: Where the history is kept, if not where the others look; "" otherwise.
        signed: How changes are signed where git knows no name; "" where it knows one.
        questions: What people must decide.
        left_out: Files in the folder that are no part of the project and stay on this machine.
    """

    saved: str
    received: str
    is_shared: bool
    sent: bool
    waiting: int
    offline: str
    notice: str
    signed: str
    questions: tuple[Question, ...]
    left_out: tuple[str, ...]


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
        """Begin the project's history, and name the git repository where others find it.

        Raises:
            TokenInAddress: The address holds a password or token.
            UnusableAddress: Git would take it for an option or a program.
            UnsafeSettings: The folder has a history already whose settings run programs.
        """
        if address is not None:
            check_address(address)
        await self._store.run_exclusive(lambda _: self._branch.share(address))

    async def destinations(self) -> list[str]:
        """Return every address that a sync talks to, without passwords.

        Raises:
            NotShared: The project has no history yet.
            UnsafeSettings: The folder's git settings could run programs.
        """
        await anyio.to_thread.run_sync(self._branch.check)
        addresses = await anyio.to_thread.run_sync(self._branch.destinations)
        return [without_secrets(address) for address in addresses]

    async def sync(self) -> SyncReport:
        """Save the history of what was done here, bring in what others did, and send it all.

        Works offline: then only the first happens, and a later sync catches up. Others may write
        to the project while git talks to the network.

        Raises:
            NotShared: The project has no history yet.
            UnsafeSettings: The folder's git settings could run programs.
            UnsafeContent: What others share is not safe; nothing of it was brought in.
            FileInTheWay: They share a file where one lies that stays on this machine.
            GitFailed: Git refused for another reason than being offline.
        """
        await anyio.to_thread.run_sync(self._branch.check)
        saved = [await self._store.run_exclusive(self._branch.save)]
        received: list[str] = []
        offline, sent = "", False
        is_shared = await anyio.to_thread.run_sync(self._branch.address) is not None
        if is_shared:
            try:
                sent = await self._exchange(saved, received)
            except GitFailed as error:
                if not error.is_unreachable:
                    raise
                offline = str(error)
            finally:
                await self._store.reload()
        questions = tuple(await self.questions())
        waiting = await anyio.to_thread.run_sync(self._branch.waiting) if is_shared else 0
        notice = await anyio.to_thread.run_sync(self._branch.notice)
        signed = (await anyio.to_thread.run_sync(self._branch.signature))[1]
        said, got = ("; ".join(filter(None, texts)) for texts in (saved, received))
        left_out = await anyio.to_thread.run_sync(self._branch.left_out)
        return SyncReport(
            said, got, is_shared, sent, waiting, offline, notice, signed, questions, left_out
        )

    async def questions(self) -> list[Question]:
        """Return what people must decide, and who gave each value where the history tells it."""
        return await anyio.to_thread.run_sync(self._questions)

    def _questions(self) -> list[Question]:
        found = open_questions(self._store.folder)
        if not found:
            return []
        try:
            self._branch.check()
            return with_makers(self._git, found)
        except StorageError as error:  # a project is described without its history, too
            _log.info("It is not said who asked: %s", error)
            return found

    async def decide(self, question_id: str, choice: int) -> None:
        """Decide an open question by the number of one of its choices, 0 for the first.

        Raises:
            RecordNotFound: There is no such question.
            NoSuchChoice: It has no such choice.
        """
        folder = self._store.folder
        question = await anyio.to_thread.run_sync(question_named, folder, question_id)
        change = await anyio.to_thread.run_sync(decision, folder, question, choice)
        await self._store.write(change.edits, change.moves, reach=Reach.SHARED)

    async def history(self, path: str | None = None, limit: int = 20) -> list[HistoryEntry]:
        """Return the changes of a record, or of the whole project, the latest first.

        Args:
            path: The record's file, within the project; None for the project.
            limit: The most changes.

        Raises:
            NotShared: The project has no history yet.
        """
        await anyio.to_thread.run_sync(self._branch.check)
        return await anyio.to_thread.run_sync(change_entries, self._git, path, limit)

    async def deleted(self, kind: str, reference: str) -> str | None:
        """Return the file of a record that was deleted, by its id or name; None for no such.

        Raises:
            NotShared: The project has no history yet.
        """
        await anyio.to_thread.run_sync(self._branch.check)
        return await anyio.to_thread.run_sync(find_deleted, self._git, kind, reference)

    async def unsaved(self) -> str:
        """Return what was done since the last sync, in words; "" for nothing."""
        await anyio.to_thread.run_sync(self._branch.check)
        return await self._store.run_exclusive(self._branch.unsaved)

    async def undo_plan(self, change: str, path: str | None = None) -> Undo:
        """Return how a change is taken back, all of it or that of one record; nothing is done yet.

        `UNSYNCED` as the change means all that was done since the last sync. The project's own
        record is never taken away.

        Raises:
            RecordNotFound: There is no such change, or it did nothing to this record.
            NothingToUndo: Nothing was done since the last sync, or nothing to this record.
            AlreadyUndone: Nothing of the change is left.
            ProjectStays: It began the project, and did nothing else.
            ChangedSince: What it changed was changed again since.
        """
        await anyio.to_thread.run_sync(self._branch.check)
        change = change.strip().casefold()
        if change != UNSYNCED:
            return await anyio.to_thread.run_sync(undo_plan, self._git, change, path)
        before, after = await self._store.run_exclusive(self._branch.unsaved_tree)
        return await anyio.to_thread.run_sync(undo_plan_of_unsaved, self._git, before, after, path)

    async def carry_out(self, plan: Undo) -> None:
        """Take a change back as planned: what it added goes to the trash, what it deleted is back.

        What was not in the history is put there first, so that the undoing can be undone.

        Raises:
            StaleRevision: A file was changed since the plan was made.
        """
        if plan.is_of_unsaved:
            await self._store.run_exclusive(self._branch.save)
        await self._store.write(plan.change.edits, plan.change.moves, reach=Reach.SHARED)

    async def undo(self, change: str, path: str | None = None) -> str:
        """Take a change back; return what was done for that, in words.

        Raises:
            storage.errors.StorageError: It cannot be; see `undo_plan`.
        """
        plan = await self.undo_plan(change, path)
        await self.carry_out(plan)
        return plan.done

    async def _exchange(self, saved: list[str], received: list[str]) -> bool:
        """Bring in and send until nothing is left to do; return whether all is sent."""
        for _ in range(_MOST_ROUNDS):
            await anyio.to_thread.run_sync(self._branch.fetch)
            name = await anyio.to_thread.run_sync(self._branch.name_there)
            if name is not None:
                await self._store.run_exclusive(lambda _, name=name: self._branch.call(name))
            more, got = await self._store.run_exclusive(self._branch.bring_in)
            saved.append(more)
            received.append(got)
            if await anyio.to_thread.run_sync(self._branch.send):
                return True
        return False
