"""Change many records: checked once, in transactions of a thousand."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, TypeVar

import anyio
import anyio.to_thread

from storage.changes import Change
from storage.errors import StaleRevision
from storage.format.tag_text import TaggedRecord, TagsChange
from storage.records import Record
from storage.records.handles import id_in_reference
from storage.store import ProjectStore

R = TypeVar("R", bound=Record)
T = TypeVar("T")
BATCH: Final = 1000
"""Records of one transaction."""


async def paths_of(store: ProjectStore, kind: type[R], ids: Iterable[str]) -> list[str]:
    """Return the files of records, each once, in the order of their ids.

    Args:
        store: The project.
        kind: The records' kind.
        ids: Their ids.

    Raises:
        RecordNotFound: None has one of these ids.
        UnreadableRecord: A record's file cannot be used.
    """
    own_ids = (id_in_reference(kind.type_name(), record_id) for record_id in ids)
    distinct_ids = list(dict.fromkeys(own_ids))
    paths = await store.ask(lambda index: index.by_ids(kind.type_name(), distinct_ids))
    for record_id in distinct_ids:
        if record_id not in paths:  # it is new, or the error says what is wrong
            paths[record_id] = (await store.get(kind, record_id)).saved.path
    return list(dict.fromkeys(paths[record_id] for record_id in distinct_ids))


async def amend_all(
    store: ProjectStore,
    kind: type[R],
    paths: Sequence[str],
    amendment: Callable[[R], R],
    batch_size: int = BATCH,
) -> AsyncGenerator[int]:
    """Amend records, a thousand in a transaction; yield how many of each thousand changed.

    A process that is killed leaves whole transactions.

    Args:
        store: The project.
        kind: The records' kind.
        paths: Their files.
        amendment: See `Change.amend`; runs in a thread.
        batch_size: Records of one transaction.

    Raises:
        StaleRevision: A record was deleted meanwhile.
        StorageError: A record does not fit what is above it.
    """
    for begin in range(0, len(paths), batch_size):
        batch = paths[begin : begin + batch_size]
        records = await store.read_all(kind, batch)
        for path in batch:
            if path not in records:
                raise StaleRevision(path, None, None)
        async with store.transaction() as change:
            count = await anyio.to_thread.run_sync(_amend, change, records.values(), amendment)
        yield count


async def retag_all(
    store: ProjectStore,
    kind: type[TaggedRecord],
    paths: Sequence[str],
    change_tags: TagsChange,
    batch_size: int = BATCH,
) -> AsyncGenerator[int]:
    """Change the tags of records, as `amend_all` would, and read nothing else of them.

    Args:
        store: The project.
        kind: The records' kind.
        paths: Their files.
        change_tags: See `Change.retag`; runs in a thread.
        batch_size: Records of one transaction.

    Raises:
        StaleRevision: A record was deleted meanwhile.
        StorageError: A tag is none that the format has.
    """

    def retag(change: Change, begin: int) -> int:
        batch = paths[begin : begin + batch_size]
        return sum(change.retag(kind, path, change_tags) for path in batch)

    steps = [partial(retag, begin=begin) for begin in range(0, len(paths), batch_size)]
    async with aclosing(change_in_turn(store, steps)) as counts:
        async for count in counts:
            yield count


async def change_in_turn(
    store: ProjectStore, steps: Iterable[Callable[[Change], T]]
) -> AsyncGenerator[T]:
    """Make changes one after the other, each whole; yield what came of each when it is made.

    Each is prepared while the one before it is written. A process that is killed leaves those whole
    that were written.

    Args:
        store: The project.
        steps: Prepare a change each; called in a thread.

    Raises:
        StorageError: A change cannot be prepared, or made; those before it are made.
    """
    pending: tuple[Change, T] | None = None
    for step in steps:
        pair = _Pair(store, step, store.new_change())
        async with anyio.create_task_group() as tasks:
            if pending is not None:
                tasks.start_soon(pair.make, pending[0])
            tasks.start_soon(pair.prepare)
            tasks.start_soon(store.catch_up)  # the index takes in the change before that
        if pair.is_made and pending is not None:
            yield pending[1]
        if pair.errors:
            raise pair.errors[0]
        pending = pair.change, pair.outcome
    if pending is not None:
        await store.make(pending[0])
        yield pending[1]


@dataclass(slots=True)
class _Pair(Generic[T]):
    """A change that is prepared while another is written.

    Attributes:
        store: The project.
        step: Prepares the change.
        change: The change.
        outcome: What came of its preparation.
        is_made: Whether the other is written.
        errors: What went wrong, first of all with the other change.
    """

    store: ProjectStore
    step: Callable[[Change], T]
    change: Change
    outcome: T = field(init=False)
    is_made: bool = False
    errors: list[Exception] = field(default_factory=list[Exception])

    async def make(self, other: Change) -> None:
        try:
            await self.store.make(other, may_lag=True)
            self.is_made = True
        except Exception as error:  # noqa: BLE001 - it is raised when both tasks have ended
            self.errors.insert(0, error)

    async def prepare(self) -> None:
        try:
            self.outcome = await anyio.to_thread.run_sync(self.step, self.change)
        except Exception as error:  # noqa: BLE001 - as above
            self.errors.append(error)


def _amend(change: Change, records: Iterable[R], amendment: Callable[[R], R]) -> int:
    """Note amendments; return how many records change."""
    return sum(change.amend(record, amendment) is not record for record in records)
