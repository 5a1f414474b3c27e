"""Keep a project's index true for its store: look for changes when it may be stale."""

import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

import anyio
import anyio.to_thread

from storage.index.building import IndexBuilder, Refreshed, forget_index
from storage.index.queries import IndexReader

_FRESH_S = 0.2
_QUICK_S = 0.1
_REFRESH_SHARE = 20.0
"""Looking for changes made elsewhere takes at most a twentieth of the time."""


class IndexKeeper:
    """The index of one project: opened when it is first asked, refreshed when it may be stale.

    Args:
        project: The project's folder.
        file: The index's file, in the per-user home.
    """

    def __init__(self, project: Path, file: Path) -> None:
        self._project = project
        self._file = file
        self._builder: IndexBuilder | None = None
        self._reader: IndexReader | None = None
        self._turn = anyio.Lock()
        self._stale_at = 0.0
        self._took_s = 0.0

    async def close(self) -> None:
        """Let go of the index; its thread ends only then."""
        if self._reader is not None:
            await self._reader.close()
        if self._builder is not None:
            self._builder.close()
        self._reader = self._builder = None

    async def reader(self) -> IndexReader:
        """Return the index, made true where it may not be."""
        async with self._turn:
            if self._builder is None or time.monotonic() >= self._stale_at:
                await self._refreshed()
            if self._reader is None:
                self._reader = await IndexReader.open(self._file)
            return self._reader

    async def refresh(self) -> Refreshed:
        """Look for changes that were made elsewhere: by other programs, by git, by hand."""
        async with self._turn:
            return await self._refreshed()

    async def look_again(self) -> bool:
        """Look for changes where that is quick, before saying that something is not there."""
        if self._took_s > _QUICK_S:
            return False
        await self.refresh()
        return True

    def doubt(self) -> None:
        """Look for changes before the next use, however short ago that was done."""
        self._stale_at = 0.0

    async def note(self, paths: Iterable[str]) -> None:
        """Take in the files that this store has written itself."""
        async with self._turn:
            if self._builder is None:
                return
            builder, written = self._builder, list(paths)
            await anyio.to_thread.run_sync(lambda: builder.note(written))

    async def _refreshed(self) -> Refreshed:
        began = time.monotonic()
        try:
            found = await anyio.to_thread.run_sync(self._compare)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # The file is damaged. All that it said can be found out again.
            await self.close()
            await anyio.to_thread.run_sync(forget_index, self._file)
            found = await anyio.to_thread.run_sync(self._compare)
        self._took_s = time.monotonic() - began
        self._stale_at = time.monotonic() + max(_FRESH_S, _REFRESH_SHARE * self._took_s)
        return found

    def _compare(self) -> Refreshed:
        if self._builder is None:
            self._builder = IndexBuilder(self._project, self._file)
        return self._builder.refresh()
