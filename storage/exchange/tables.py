"""Runs as tables that other programs read and write: JSONL, CSV and parquet."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from io import TextIOWrapper
from pathlib import Path, PurePath
from typing import IO, Literal, Protocol

from storage.border import check_target
from storage.errors import Refusal
from storage.exchange.columns import COLUMNS, BadRow, Row, row_of, run_of
from storage.exchange.parquet import ParquetWriter, parquet_rows
from storage.exchange.refusals import target_exists, target_inside
from storage.exchange.text_tables import (
    csv_header,
    csv_rows,
    decode_table,
    jsonl_rows,
    write_csv,
    write_jsonl,
)
from storage.files import new_file
from storage.records import TaskRun

TableFormat = Literal["jsonl", "csv", "parquet"]
_ENDINGS: dict[str, TableFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_OUTPUT_ENDINGS = (".jsonl", ".csv", ".parquet")


def table_format(file_name: str, *, to_write: bool = False) -> TableFormat:
    """Return the form of a table by its file's ending.

    Raises:
        Refusal: The ending is that of no table.
    """
    ending = PurePath(file_name).suffix.casefold()
    if ending not in (_OUTPUT_ENDINGS if to_write else _ENDINGS):
        raise Refusal(
            "{file_name} has the ending of no table. Use one of {endings}; from a spreadsheet, "
            "save as 'CSV UTF-8'.",
            file_name=file_name,
            endings=_OUTPUT_ENDINGS if to_write else tuple(_ENDINGS),
        )
    return _ENDINGS[ending]


@dataclass(slots=True)
class RunTable:
    """A table that is read row by row, as runs and bad rows.

    Attributes:
        content: The file's bytes.
        file_name: Its name: says its form, and becomes the runs' source.
        purpose: What the runs are for, such as the task's id. With the content and the row's
            place it makes the ids, so that reading a table again gives the same runs.
        unknown_columns: Columns that were met and are not known; filled while reading.
    """

    content: bytes
    file_name: str
    purpose: str = ""
    unknown_columns: dict[str, None] = field(default_factory=dict[str, None])

    def __iter__(self) -> Iterator[tuple[int, TaskRun | BadRow]]:
        """Return each row's number, and its run or what is wrong with it.

        Raises:
            Refusal: The name has the ending of no table.
            Refusal: It cannot be read, or lacks a column that is needed.
            Refusal: It is parquet, whose library is not installed.
        """
        table = blake2b(self.content, digest_size=32, person=b"runs").digest()
        table += self.purpose.encode("utf-8", "surrogatepass")
        ids: set[str] = set()
        for place, (number, row) in enumerate(self._rows()):
            if isinstance(row, str):
                yield number, BadRow(number, row)
                continue
            self.unknown_columns.update(
                dict.fromkeys(key for key in row if key and key not in COLUMNS)
            )
            try:
                run = run_of(row, self.file_name)
            except ValueError as error:
                yield number, BadRow(number, str(error))
            else:
                row_id = _id_from(table + place.to_bytes(8, "big"))
                while row_id in ids:
                    row_id = id_after(row_id)
                ids.add(row_id)
                yield number, run.replace(id=row_id)

    def _rows(self) -> Iterator[tuple[int, Row | str]]:
        match table_format(self.file_name):
            case "parquet":
                return parquet_rows(self.content)
            case "csv":
                return csv_rows(decode_table(self.content, self.file_name, "csv"))
            case "jsonl":
                return jsonl_rows(decode_table(self.content, self.file_name, "jsonl"))


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
