"""Keep a project's index up to date for its store: refresh it when it may be stale.

The index is derived from files, so an unusable one is built again. If its place in the home cannot
be used either, this process builds one in a temporary folder.
"""

import logging
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from storage.errors import ProjectBusy
from storage.index.index_file import forget_index
from storage.index.queries import IndexReader
from storage.index.refresh import IndexBuilder, ReadListener, RefreshResult
from storage.index.scan import WrittenFile
from storage.sqlite_files import BUSY_S, is_busy

T = TypeVar("T")

_log = logging.getLogger(__name__)
_FRESH_S = 0.2
_QUICK_S = 0.1
_REFRESH_SHARE = 20.0
"""Looking for changes made elsewhere takes at most a twentieth of the time."""


class IndexKeeper:
    """The index of one project: opened when it is first asked, refreshed when it may be stale.

    Args:
        project: The project's folder.
        file: The index's file, in the per-user home.
        clock: Says the time, in seconds.
    """

    def __init__(
        self, project: Path, file: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._project = project
        self._file = file
        self._builder: IndexBuilder | None = None
        self._reader: IndexReader | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._turn = anyio.Lock()
        self._backlog: list[WrittenFile] = []
        self._stale_at = 0.0
        self._took_s = 0.0
        self._missed_until = 0.0
        self._clock = clock

    async def close(self) -> None:
        """Close the index and end its thread."""
        await self._let_go()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    async def ask(self, question: Callable[[IndexReader], Awaitable[T]]) -> T:
        """Return the answer of the index, which is refreshed first if it may be stale.

        Raises:
            ProjectBusy: Another process has been writing to the index for too long.
        """
        reader: IndexReader | None = None
        try:
            async with self._turn:
                reader = await self._true_reader()
            return await question(reader)
        except sqlite3.DatabaseError as error:
            self._raise_where_busy(error)
            _log.info("The index of %s is built again: %s", self._project, error)
        async with self._turn:
            if reader is self._reader:
                await self._begin_anew()
            reader = await self._true_reader()
        return await question(reader)

    def put_off(self, files: Iterable[WrittenFile]) -> None:
        """Let `catch_up`, or whatever asks the index first, take in files that were written."""
        if self._builder is not None:
            self._backlog += files

    async def catch_up(self) -> None:
        """Take in what was put off."""
        if self._backlog:
            await self.note(())

    async def _true_reader(self) -> IndexReader:
        await self._note_backlog()
        if self._builder is None or self._clock() >= self._stale_at:
            await self._refresh()
        if self._reader is None:
            self._reader = await IndexReader.open(self._file)
        return self._reader

    @property
    def is_open(self) -> bool:
        """Whether this process has looked at the project's files already."""
        return self._builder is not None

    async def refresh(self, listener: ReadListener | None = None) -> RefreshResult:
        """Look for changes that were made elsewhere: by other programs, by git, by hand."""
        async with self._turn:
            return await self._refresh(listener)

    async def look_again(self) -> None:
        """Refresh the index before a record is reported as missing.

        A slow refresh serves all calls that come within the time that it took.
        """
        async with self._turn:
            if self._clock() >= self._missed_until:
                await self._refresh()
                if self._took_s > _QUICK_S:
                    self._missed_until = self._clock() + self._took_s

    async def look_at(self, parent: str, kind: str) -> None:
        """Take in records of a kind below a parent that others made or removed until now.

        Args:
            parent: The parent's file.
            kind: The kind's name in the format; its records never change.

        Raises:
            ProjectBusy: Another process has been writing to the index for too long.
        """
        async with self._turn:
            if self._builder is None:
                await self._refresh()
                return
            await self._note_backlog()
            builder = self._builder
            try:
                await anyio.to_thread.run_sync(builder.look_at, parent, kind)
            except sqlite3.DatabaseError as error:
                self._raise_where_busy(error)
                await self._begin_anew()
                await self._refresh()

    def skipped_files(self) -> dict[str, str]:
        """Return the paths that the last refresh skipped, each with the reason."""
        return {} if self._builder is None else self._builder.skipped_files

    def doubt(self) -> None:
        """Look for changes before the next use, however short ago that was done."""
        self._stale_at = 0.0

    async def note(
        self,
        files: Iterable[WrittenFile],
        moved_paths: Iterable[str] = (),
    ) -> None:
        """Take in the files that this store has written itself, and what it has moved.

        Args:
            files: Files that were written.
            moved_paths: Files or folders that appeared or went away.
        """
        async with self._turn:
            self.put_off(files)
            await self._note_backlog(moved_paths)

    async def _note_backlog(self, moved_paths: Iterable[str] = ()) -> None:
        """Take in what was put off, and what was moved."""
        files, self._backlog = self._backlog, []
        builder, paths = self._builder, [*moved_paths]
        if builder is None or not (files or paths):
            return
        try:
            await anyio.to_thread.run_sync(builder.note, files, paths)
        except sqlite3.DatabaseError as error:
            # The files are written; the next look at them mends the index.
            _log.info("The index of %s missed a change: %s", self._project, error)
            self.doubt()

    async def _refresh(self, listener: ReadListener | None = None) -> RefreshResult:
        await self._note_backlog()
        began = self._clock()
        try:
            result = await anyio.to_thread.run_sync(self._compare, listener)
        except sqlite3.DatabaseError as error:
            self._raise_where_busy(error)
            await self._begin_anew()
            result = await self._rebuild(listener)
        self._took_s = self._clock() - began
        self._stale_at = self._clock() + max(_FRESH_S, _REFRESH_SHARE * self._took_s)
        return result

    async def _rebuild(self, listener: ReadListener | None) -> RefreshResult:
        """Build the index again; where its place cannot be used, in a folder of this process."""
        try:
            return await anyio.to_thread.run_sync(self._compare, listener)
        except sqlite3.DatabaseError as error:
            self._raise_where_busy(error)
            _log.warning("%s cannot be used (%s): an index is made beside it", self._file, error)
        await self._let_go()
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="kiln-mcp-")
        self._file = Path(self._temporary.name) / "index.sqlite"
        return await anyio.to_thread.run_sync(self._compare, listener)

    async def _begin_anew(self) -> None:
        await self._let_go()
        await anyio.to_thread.run_sync(forget_index, self._file)

    async def _let_go(self) -> None:
        if self._reader is not None:
            await self._reader.close()
        if self._builder is not None:
            self._builder.close()
        self._reader = self._builder = None

    def _raise_where_busy(self, error: sqlite3.DatabaseError) -> None:
        if is_busy(error):
            raise ProjectBusy(self._project, BUSY_S) from error

    def _compare(self, listener: ReadListener | None) -> RefreshResult:
        if self._builder is None:
            self._builder = IndexBuilder(self._project, self._file)
        return self._builder.refresh(listener)
