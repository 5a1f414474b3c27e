"""Group commit: all changes that wait are written together, under one hold of the lock."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio
import anyio.to_thread

from storage.commits.commit_log import CommitLog
from storage.commits.steps import LARGEST_GROUP, ChangeRequest, Outcome
from storage.errors import ProjectBusy
from storage.index.scan import WrittenFile


class Listener(Protocol):
    """Gets the files of a group when they are on the disk, before its callers go on."""

    def __call__(self, files: Sequence[WrittenFile], *, may_lag: bool) -> Awaitable[None]:
        """Take in files; `may_lag` says that no caller waits for the index to know them."""
        ...


@dataclass(eq=False, slots=True)
class _Entry:
    """A change that waits to be written.

    Attributes:
        change: What is asked for.
        is_patient: Whether it waits for the lock for as long as it takes.
        may_lag: Whether the index may learn of it later.
        is_done: Whether its turn is over.
        error: What refused it.
    """

    change: ChangeRequest
    is_patient: bool
    may_lag: bool = False
    is_done: bool = field(default=False, init=False)
    error: Exception | None = field(default=None, init=False)


class GroupCommit:
    """Writes the changes of this process's tasks in groups, in the order in which they came.

    The task whose turn it is writes for all that wait, so a wait is two groups at most. A change
    counts as made, and its caller continues, only when it is on the disk.

    Args:
        log: Writes them.
        listener: Gets the files of each group.
    """

    def __init__(self, log: CommitLog, listener: Listener) -> None:
        self._log = log
        self._listener = listener
        self._entries: list[_Entry] = []
        self._turn = anyio.Lock()

    async def commit(
        self, change: ChangeRequest, *, is_patient: bool = False, may_lag: bool = False
    ) -> None:
        """Make a change; see `CommitLog.commit`.

        A caller that is cancelled before its turn has written nothing.

        Args:
            change: What is asked for.
            is_patient: Whether to wait for the lock for as long as it takes, for what is paid for.
            may_lag: Whether the index may learn of it later.

        Raises:
            ProjectBusy: Another process has been writing for too long.
            WriteError: The disk refused; nothing was changed.
        """
        (error,) = await self._commit([_Entry(change, is_patient, may_lag)])
        if error is not None:
            raise error

    async def commit_each(
        self, changes: Sequence[ChangeRequest], *, is_patient: bool = False
    ) -> list[Exception | None]:
        """Make several changes, each whole or not at all; see `commit`.

        Returns:
            For each change None, or the error that refused it.
        """
        return await self._commit([_Entry(change, is_patient) for change in changes])

    async def _commit(self, entries: Sequence[_Entry]) -> list[Exception | None]:
        self._entries += entries
        try:
            while not all(entry.is_done for entry in entries):
                async with self._turn:
                    if not all(entry.is_done for entry in entries):
                        with anyio.CancelScope(shield=True):
                            await self._write_group()
        finally:
            unwritten = {entry for entry in entries if not entry.is_done}
            if unwritten:
                self._entries = [entry for entry in self._entries if entry not in unwritten]
        return [entry.error for entry in entries]

    async def _write_group(self) -> None:
        """Write what waits."""
        group = self._entries[:LARGEST_GROUP]
        del self._entries[:LARGEST_GROUP]
        changes = [entry.change for entry in group]
        try:
            outcomes = await anyio.to_thread.run_sync(self._log.commit_all, changes)
        except Exception as error:  # noqa: BLE001 - it is raised to the callers of all
            outcomes = [Outcome(error)] * len(group)
        retries: list[_Entry] = []
        for entry, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome.error, ProjectBusy) and entry.is_patient:
                retries.append(entry)
            else:
                entry.is_done, entry.error = True, outcome.error
        self._entries[:0] = retries
        files = [file for outcome in outcomes for file in outcome.files]
        await self._listener(files, may_lag=all(entry.may_lag for entry in group))
