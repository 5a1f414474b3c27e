"""Change many records: checked once, in transactions of a thousand."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Final, TypeVar

import anyio.to_thread

from storage.changes import Change
from storage.errors import StaleRevision
from storage.records import Record
from storage.records.handles import id_in_reference
from storage.store import ProjectStore

R = TypeVar("R", bound=Record)
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


def _amend(change: Change, records: Iterable[R], amendment: Callable[[R], R]) -> int:
    """Note amendments; return how many records change."""
    return sum(change.amend(record, amendment) is not record for record in records)
