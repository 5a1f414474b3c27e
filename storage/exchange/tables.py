"""Runs as tables that other programs read and write: JSONL, CSV and parquet."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Final, Literal, Protocol

from storage.atomic_write import new_file
from storage.border import check_target
from storage.changes import NewRecord, text_of
from storage.exchange.columns import COLUMNS, BadRow, Row, row_of, run_of
from storage.exchange.parquet import ParquetWriter
from storage.exchange.refusals import target_exists, target_inside
from storage.exchange.table_source import TableSource, table_format
from storage.exchange.text_tables import csv_header, write_csv, write_jsonl
from storage.records import TaskRun

_MOST_COLUMNS: Final = 1000
"""Columns that are not known are remembered, up to so many."""


@dataclass(slots=True)
class RunTable:
    """A table that is read row by row, as new runs and bad rows.

    Attributes:
        source: Where the rows come from; the file's name becomes the runs' source.
        purpose: What the runs are for, such as the task's id. With the file's bytes and the row's
            place it makes the ids, so that reading a table again gives the same runs.
        tags: Tags for all runs.
        unknown_columns: Columns that were met and are not known; filled while reading.
    """

    source: TableSource
    purpose: str = ""
    tags: Sequence[str] = ()
    unknown_columns: dict[str, None] = field(default_factory=dict[str, None])

    def __iter__(self) -> Iterator[tuple[int, NewRecord[TaskRun] | BadRow]]:
        """Return each row's number, and its run or what is wrong with it.

        Raises:
            Refusal: The name has the ending of no table.
            Refusal: It cannot be read, or lacks a column that is needed.
            Refusal: It is parquet, whose library is not installed.
        """
        table = self.source.digest + self.purpose.encode("utf-8", "surrogatepass")
        for place, (number, row) in enumerate(self.source.rows):
            if isinstance(row, str):
                yield number, BadRow(number, row)
                continue
            for key in row:
                if key and key not in COLUMNS and len(self.unknown_columns) < _MOST_COLUMNS:
                    self.unknown_columns[key] = None
            row_id = _id_from(table + place.to_bytes(8, "big"))
            try:
                yield number, encode_row(row, self.source.file_name, row_id, self.tags)
            except ValueError as error:
                yield number, BadRow(number, str(error))


def encode_row(row: Row, file_name: str, run_id: str, tags: Sequence[str]) -> NewRecord[TaskRun]:
    """Return the new run of a row with the text of its file.

    Raises:
        ValueError: Something is wrong with the row; the text says what.
    """
    run = run_of(row, file_name, run_id, tags)
    try:
        return NewRecord(run, text_of(run).encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ValueError(f"it holds a lone surrogate ({error.object[error.start]!r})") from error


def id_after(row_id: str) -> str:
    """Return the id that a row gets whose own another record has; always the same one."""
    return _id_from(row_id.encode())


def _id_from(content: bytes) -> str:
    """Return 12 decimal digits, as ids are, that come from some content."""
    digest = blake2b(content, digest_size=16).digest()
    return f"{int.from_bytes(digest, 'big') % 10**12:012}"


class _Writer(Protocol):
    def write(self, rows: Sequence[Row], /) -> None: ...

    def close(self) -> None: ...


class RunTableWriter:
    """Takes runs for a new table, some at a time."""

    def __init__(self, writer: _Writer) -> None:
        self._writer = writer
        self.count = 0

    def add(self, runs: Sequence[TaskRun]) -> None:
        """Write runs."""
        self._writer.write([row_of(run) for run in runs])
        self.count += len(runs)


@contextmanager
def new_run_table(file: Path, *, of: Path) -> Generator[RunTableWriter]:
    """Open a new table, which appears whole when the block ends without an error.

    Args:
        file: The table.
        of: The folder of the project whose runs go into it.

    Raises:
        Refusal: The name has the ending of no table.
        Refusal: The file is there already.
        Refusal: It would lie within the project.
        UnsafePath: It would lie in git's own folder.
        Refusal: It is parquet, whose library is not installed.
        WriteError: The disk refused.
    """
    form = table_format(file.name, to_write=True)
    if file.exists() or file.is_symlink():
        raise target_exists(file)
    if file.resolve().is_relative_to(of.resolve()):
        raise target_inside(file)
    check_target(file)
    with new_file(file) as out:
        writer = ParquetWriter(out) if form == "parquet" else _TextWriter(out, form)
        yield RunTableWriter(writer)
        writer.close()


class _TextWriter:
    def __init__(self, out: IO[bytes], form: Literal["jsonl", "csv"]) -> None:
        self._text = TextIOWrapper(out, encoding="utf-8", newline="")
        self._form = form
        if form == "csv":
            self._text.write(csv_header())

    def write(self, rows: Sequence[Row]) -> None:
        if self._form == "csv":
            write_csv(rows, self._text)
        else:
            write_jsonl(rows, self._text)

    def close(self) -> None:
        self._text.flush()
        self._text.detach()
