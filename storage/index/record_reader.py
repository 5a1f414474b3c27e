"""Read the values of records for the index; those of many in a process of its own.

Reading and checking a record takes longer than writing its rows. With a process for it both go on
at once.
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self, cast

from pydantic import JsonValue

from storage.child_process import ChildProcess, child_process
from storage.errors import UnreadableRecord
from storage.files import read_plain
from storage.format.layout import kind_named
from storage.format.record_text import parse_record
from storage.index.row_writer import ReadFile
from storage.index.rows import RecordValues, values_of, values_of_message
from storage.index.scan import RecordFile

MANY: Final = 6000
"""Records from which a process of its own is worth its start."""
_WORKER: Final = "storage.index.reader_process"
ReadResult = tuple[RecordValues | None, str | None]
"""The values of a record, or why it cannot be used."""


class RecordReader:
    """Reads the records of one project; a context manager ends its process.

    Args:
        root: The project's folder.
        many: Records that are read here; later ones are read in a process of its own.
    """

    def __init__(self, root: str, many: int = MANY, worker: str = _WORKER) -> None:
        self._root = root
        self._worker = worker
        self._rest = many
        self._stack = ExitStack()
        self._child: ChildProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def read(self, files: Sequence[RecordFile]) -> list[ReadFile]:
        """Return records with their values, in the same order. Blocks."""
        results = self._read_elsewhere(files) if self._rest <= 0 else None
        self._rest -= len(files)
        if results is None:
            results = [read_values(self._root, file.state.path, file.kind) for file in files]
        return [ReadFile(file, *result) for file, result in zip(files, results, strict=True)]

    def _read_elsewhere(self, files: Sequence[RecordFile]) -> list[ReadResult] | None:
        """Let the process read; None if it cannot, after which all are read here."""
        try:
            if self._child is None:
                self._child = self._stack.enter_context(child_process(self._worker))
            self._child.send((self._root, [(file.state.path, file.kind) for file in files]))
            return [_result(entry) for entry in cast("list[JsonValue]", self._child.receive())]
        except (OSError, EOFError):
            self._rest = sys.maxsize
            return None


def read_values(root: str, path: str, kind: str) -> ReadResult:
    """Read a record's file.

    Args:
        root: The project's folder.
        path: The file, within the project.
        kind: The kind that its name says.
    """
    try:
        content = read_plain(f"{root}/{path}")
        return values_of(parse_record(kind_named(kind), content, path)), None
    except UnreadableRecord as error:
        return None, error.reason
    except OSError as error:
        return None, error.strerror or str(error)


def _result(entry: JsonValue) -> ReadResult:
    """Return what a message says of one record."""
    fields, problem = cast("tuple[list[object] | None, str | None]", entry)
    return (None if fields is None else values_of_message(fields)), problem
