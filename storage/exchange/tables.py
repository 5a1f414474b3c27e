"""Tables of runs that other programs and our own reader take: JSONL, CSV and parquet."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Literal, Protocol

from storage.atomic_write import new_file
from storage.border import check_target
from storage.exchange.columns import Row, row_of
from storage.exchange.csv_tables import csv_header, write_csv
from storage.exchange.json_tables import write_jsonl
from storage.exchange.parquet import ParquetWriter
from storage.exchange.refusals import target_exists, target_inside
from storage.exchange.table_source import table_ending
from storage.records import TaskRun


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
    form = table_ending(file.name, to_write=True)
    if file.exists() or file.is_symlink():
        raise target_exists(file)
    if file.resolve().is_relative_to(of.resolve()):
        raise target_inside(file)
    check_target(file)
    with new_file(file) as out:
        writer = (
            ParquetWriter(out)
            if form == "parquet"
            else _TextWriter(out, "csv" if form == "csv" else "json")
        )
        yield RunTableWriter(writer)
        writer.close()


class _TextWriter:
    def __init__(self, out: IO[bytes], form: Literal["json", "csv"]) -> None:
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
